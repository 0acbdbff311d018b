"""What readers of tables share: names of columns, and files that must agree on them."""

from collections.abc import Sequence
from typing import Final

from modelyard.errors import InvalidInput, TooLarge

MAX_COLUMNS: Final = 10_000
MAX_NAME: Final = 200


def checked_names(names: Sequence[str], file: str) -> list[str]:
    """Names of columns as they are kept: without blanks around them; one without a name is called
    `unnamed_N`.

    Raises InvalidInput for names that come twice or cannot be shown, TooLarge for too many.
    """
    if len(names) > MAX_COLUMNS:
        raise TooLarge(f"file {file!r}", came=f"{len(names)} columns", allowed=f"at most {MAX_COLUMNS}")
    kept = [name.strip() or f"unnamed_{place}" for place, name in enumerate(names, 1)]
    twice = sorted({name for name in kept if kept.count(name) > 1}) if len(set(kept)) < len(kept) else []
    if twice:
        raise InvalidInput(
            f"file {file!r} has columns of one name",
            came=", ".join(repr(name) for name in twice[:10]),
            allowed="each name once",
        )
    for name in kept:
        if len(name) > MAX_NAME or not name.isprintable():
            raise InvalidInput(
                f"file {file!r} has a column whose name cannot be used",
                came=repr(name[:60]),
                allowed=f"at most {MAX_NAME} printable characters",
            )
    return kept


def demand_same(columns: Sequence[str], first: str, other: Sequence[str], file: str) -> None:
    """Raise InvalidInput where two files have not the same columns; their order may differ."""
    lacking, extra = set(columns) - set(other), set(other) - set(columns)
    if lacking or extra:
        told = [
            f"{'lacks' if names is lacking else 'adds'} {sorted(names)[:5]}"
            for names in (lacking, extra)
            if names
        ]
        raise InvalidInput(
            f"file {file!r} {' and '.join(told)} beside {first!r}", allowed="the same columns in all files"
        )
