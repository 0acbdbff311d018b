"""Code and files that the platform did not write: where they run, and what is asked of them before they do."""
