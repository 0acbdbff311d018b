"""Serving: the replica, and the frames that it speaks."""
