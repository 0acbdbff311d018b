"""Names for runs that nobody named."""

import secrets
from typing import Final

_HOW: Final = ("amber", "brisk", "calm", "clear", "deft", "eager", "fair", "gentle", "keen", "lively", "mellow",
               "nimble", "proud", "quiet", "rapid", "sunny", "tidy", "vivid", "warm", "witty")  # fmt: skip
_WHAT: Final = ("alder", "badger", "cedar", "dove", "elm", "finch", "gull", "heron", "iris", "jay", "kite", "lark",
                "maple", "newt", "otter", "pine", "quail", "rowan", "swift", "wren")  # fmt: skip


def make() -> str:
    """As "brisk-heron-417"."""
    return f"{secrets.choice(_HOW)}-{secrets.choice(_WHAT)}-{secrets.randbelow(900) + 100}"
