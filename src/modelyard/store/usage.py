"""What keys used: a row for each key, model, day (counted from 1970-01-01 in UTC) and source that counted it.

A source tells totals since it began, so a row only grows. Rows of which their source will say no more (`settled`)
are folded into one of the source "" when their day is over.
"""

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Index, Select, delete, func, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from modelyard.store.tables import Base, Owned, Tenant
from modelyard.types.usage import UsageReport, UsageRow

FOLDED: Final = ""
"""The source of rows that hold what several have counted."""
COUNTS: Final = ("requests", "prompt", "cached", "completion")
_FOLDED_AT_ONCE: Final = 1000


class UsageCount(Owned, Base):
    """Tokens of prompts (`cached` of them were read already) and of answers. `key` may be a key that is gone."""

    __tablename__ = "usage"
    __table_args__ = (Index(None, "day"), Index(None, "source"))

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    prompt: Mapped[int] = mapped_column(BigInteger)
    cached: Mapped[int] = mapped_column(BigInteger)
    completion: Mapped[int] = mapped_column(BigInteger)
    settled: Mapped[bool]


Place = tuple[str, str, str, int]
"""Tenant, key, model, day."""


def record(session: Session, report: UsageReport) -> None:
    """Take the larger of what is known and what is said. Rows of tenants that are gone are passed over."""
    tenants = set(session.scalars(select(Tenant.id)))
    there = _rows(session, report.source, report.rows)
    for row in report.rows:
        place = row.tenant, row.key, row.model, row.day
        if row.tenant not in tenants:
            continue
        known = there.get(place)
        if known is None:
            known = there[place] = _empty(place, report.source)
            session.add(known)
        for name in COUNTS:
            setattr(known, name, max(getattr(known, name), getattr(row, name)))
    if report.settled:
        session.flush()
        open_rows = UsageCount.source == report.source, UsageCount.day < report.settled
        session.execute(update(UsageCount).where(*open_rows, ~UsageCount.settled).values(settled=True))


def used_on(session: Session, day: int, keys: Collection[str] | Select[str]) -> dict[str, int]:
    """Key -> tokens of the day, of those of `keys` that used any."""
    tokens = func.sum(UsageCount.prompt + UsageCount.completion)
    query = select(UsageCount.key, tokens).where(UsageCount.day == day, UsageCount.key.in_(keys))
    return {key: int(used) for key, used in session.execute(query.group_by(UsageCount.key))}


def fold(session: Session, before: int) -> int:
    """Fold settled rows of days before `before`, up to a thousand places at once; the number of rows that went."""
    done = UsageCount.day < before, UsageCount.settled, UsageCount.source != FOLDED
    groups = UsageCount.tenant, UsageCount.key, UsageCount.model, UsageCount.day
    sums = [func.sum(getattr(UsageCount, name)) for name in COUNTS]
    found = session.execute(
        select(*groups, *sums).where(*done).group_by(*groups).limit(_FOLDED_AT_ONCE)
    ).all()
    for tenant, key, model, day, *counts in found:
        place = tenant, key, model, day
        whole = session.get(UsageCount, (*place, FOLDED))
        if whole is None:
            whole = _empty(place, FOLDED)
            session.add(whole)
        for name, count in zip(COUNTS, counts, strict=True):
            setattr(whole, name, getattr(whole, name) + int(count))
    session.flush()
    places = [tuple(row[:4]) for row in found]
    gone = delete(UsageCount).where(*done, tuple_(*groups).in_(places))
    return session.execute(gone).rowcount if places else 0  # type: ignore[attr-defined]


def _rows(session: Session, source: str, rows: Iterable[UsageRow]) -> dict[Place, UsageCount]:
    """What is known of the source on the days of these rows."""
    days = {row.day for row in rows}
    query: Select[UsageCount] = select(UsageCount).where(UsageCount.source == source)
    found = session.scalars(query.where(UsageCount.day.in_(days)))
    return {(row.tenant, row.key, row.model, row.day): row for row in found}


def _empty(place: Place, source: str) -> UsageCount:
    tenant, key, model, day = place
    return UsageCount(
        tenant=tenant, key=key, model=model, day=day, source=source,
        requests=0, prompt=0, cached=0, completion=0, settled=source == FOLDED,
    )  # fmt: skip
