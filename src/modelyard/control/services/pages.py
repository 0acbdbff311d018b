"""Lists in pages. A cursor is where the last page ended, signed, so that nobody makes one up."""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.errors import InvalidInput

T = TypeVar("T")
MAX_LIMIT: Final = 500
_TAG_BYTES: Final = 12


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """`next` is the cursor of the next page, or None at the end."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """`limit` from 1 to 500, `cursor` from the last page. `secret` signs cursors."""

    limit: int
    cursor: str | None
    secret: bytes

    def after(self) -> str | None:
        """Where the last page ended. Raises InvalidInput for a cursor that is not ours."""
        return None if self.cursor is None else _read(self.cursor, self.secret)


def fetch(session: Session, query: Select[Any], by: InstrumentedAttribute[str], request: PageRequest,
          *, descending: bool = False) -> tuple[Sequence[Any], str | None]:  # fmt: skip
    """One page of `query`'s objects in the order of `by`, which is unique in it, and the next cursor."""
    after = request.after()
    if after is not None:
        query = query.where(by < after if descending else by > after)
    query = query.order_by(by.desc() if descending else by.asc()).limit(request.limit + 1)
    rows = session.scalars(query).all()
    page = rows[: request.limit]
    more = len(rows) > request.limit
    return page, _write(getattr(page[-1], by.key), request.secret) if more else None


def slice_of(
    items: Sequence[T], name: Callable[[T], str], request: PageRequest
) -> tuple[list[T], str | None]:
    """One page of what is in no database, in the order of `name`, which is unique in it, and the next cursor."""
    after = request.after()
    left = [item for item in sorted(items, key=name) if after is None or name(item) > after]
    page = left[: request.limit]
    return page, _write(name(page[-1]), request.secret) if len(left) > len(page) else None


def page_of(rows: Sequence[Any], cursor: str | None, view: Callable[[Any], T]) -> Page[T]:
    return Page(items=[view(row) for row in rows], next=cursor)


def read_place(cursor: str, secret: bytes) -> str:
    """Where the last page of a list in an order of its own ended. Raises InvalidInput for what is not ours."""
    return _read(cursor, secret)


def write_place(value: str, secret: bytes) -> str:
    return _write(value, secret)


def _write(value: str, secret: bytes) -> str:
    data = value.encode()
    return base64.urlsafe_b64encode(_tag(data, secret) + data).decode().rstrip("=")


def _read(cursor: str, secret: bytes) -> str:
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    tag, data = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    if not data or not hmac.compare_digest(tag, _tag(data, secret)):
        raise InvalidInput("not a cursor of a list of ours", came=cursor)
    return data.decode()


def _tag(data: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"cursor:" + data, "sha256")[:_TAG_BYTES]
