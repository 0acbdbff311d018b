"""Ids, made by us: a kind, then 26 base32 digits of time (48 bits of milliseconds) and chance (80 bits)."""

import secrets
import time

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32


def new_id(kind: str) -> str:
    """As in `new_id("run")` -> "run_01k9...": sorts by the time it was made, unique without asking anyone."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return f"{kind}_" + "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
