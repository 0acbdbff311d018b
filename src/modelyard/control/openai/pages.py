"""Lists of what has ids of ours: the place in a list is the id that the last page ended with."""

from typing import Any, Literal

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.control.openai.errors import BadParameter
from modelyard.control.openai.wire import Asked, is_id


class PageAsked(Asked, frozen=True, kw_only=True):
    """`limit` None: as many as a page of this list has."""

    limit: int | None = None
    after: str | None = None


class OrderedPage(PageAsked, frozen=True, kw_only=True):
    order: Literal["asc", "desc"] = "desc"


def size_of(asked: PageAsked, otherwise: int, most: int) -> int:
    """How many rows a page has. Raises BadParameter."""
    if asked.limit is None:
        return otherwise
    if not 0 < asked.limit <= most:
        raise BadParameter("limit", "limit", came=asked.limit, allowed=f"1 to {most}")
    return asked.limit


def place_of(asked: PageAsked, kind: str) -> str | None:
    """The id after which the page begins; what it names may be gone. Raises BadParameter for what is no id."""
    if asked.after is not None and not is_id(kind, asked.after):
        raise BadParameter("after", "not a place in this list", came=asked.after, allowed=f"an id, {kind}...")
    return asked.after


def fetch(session: Session, query: Select[Any], by: InstrumentedAttribute[str], limit: int, after: str | None,
          *, ascending: bool = False) -> tuple[list[Any], bool]:  # fmt: skip
    """One page of `query`'s objects in the order of `by`, the newest first, and whether there are more."""
    if after is not None:
        query = query.where(by > after if ascending else by < after)
    query = query.order_by(by.asc() if ascending else by.desc()).limit(limit + 1)
    rows = list(session.scalars(query))
    return rows[:limit], len(rows) > limit
