"""The management API: one file a noun, each route a line or two over its service."""
