"""The process that alone owns the database: the management API, and the loops that make what should be."""
