"""Reconciliation: each loop looks at what should be and at what is, and makes one step from this to that."""
