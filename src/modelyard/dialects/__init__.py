"""Dialects: the protocols that clients speak. One file each, one line in DIALECTS."""

from modelyard.dialects.contract import (
    STATUS,
    Address,
    Call,
    Catalog,
    Conversation,
    Dialect,
    Entry,
    Generating,
    Match,
    Request,
    Response,
    Served,
    failure,
)
from modelyard.dialects.table import DIALECTS, match, of_path

__all__ = [
    "DIALECTS",
    "STATUS",
    "Address",
    "Call",
    "Catalog",
    "Conversation",
    "Dialect",
    "Entry",
    "Generating",
    "Match",
    "Request",
    "Response",
    "Served",
    "failure",
    "match",
    "of_path",
]
