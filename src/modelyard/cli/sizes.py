"""Amounts of memory as people write them."""

import re
from typing import Final

from modelyard.errors import InvalidInput

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def size(text: str, option: str) -> int:
    """Bytes, of "8G", "512MiB", "1.5T"; K, M, G and T are powers of 1,024. Raises InvalidInput."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(option, came=text, allowed="an amount of memory, as 512M or 8G")
    return int(float(found[1]) * _UNITS[found[2].upper()])
