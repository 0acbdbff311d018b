"""Whose replicas end so that another's have room."""

from collections.abc import Iterable

from msgspec import Struct


class Resident(Struct, frozen=True, kw_only=True):
    """A deployment whose replicas are in memory. `last` is when it was used, of any clock; `evictable` is False of
    one that is busy, pinned, or would not start again by itself."""

    id: str
    size: int
    last: float
    evictable: bool


def choose(wanted: int, residents: Iterable[Resident]) -> list[str] | None:
    """The ids of those that are to end so that `wanted` bytes come free: the least recently used ones, and no more
    of them than it takes. None where all that may end are not enough."""
    chosen: list[str] = []
    for resident in sorted((r for r in residents if r.evictable), key=lambda r: (r.last, r.id)):
        if wanted <= 0:
            break
        chosen.append(resident.id)
        wanted -= resident.size
    return chosen if wanted <= 0 else None
