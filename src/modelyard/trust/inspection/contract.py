"""What an inspection finds, and the limits that all formats share."""

from typing import Any, Final

from msgspec import Struct

MAX_FILES: Final = 10_000
MAX_BYTES: Final = 64 << 30
JSON_BYTES: Final = 64 << 20
"""The largest header, schema or configuration that is read whole."""


class Inspection(Struct, frozen=True, kw_only=True):
    """A model that may become a version.

    format   a key of `modelyard.conversion.FORMATS`, or "bundle": what `yard models export` writes
    entry    where the model lies below what was inspected; "" for the file itself
    keep     files below `entry` that belong to it; what is not named is left out and never read again. Empty: all
    facts    what its header says: tensors, inputs, architecture, ... JSON values
    task     a guess, or None; `why` says what the format and the guess are made from
    """

    format: str
    entry: str = ""
    keep: tuple[str, ...] = ()
    bytes: int = 0
    files: int = 1
    facts: dict[str, Any] = {}
    task: str | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
