"""Where processes start: the launcher, and the connection that others reach it by."""
