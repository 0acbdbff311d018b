"""What keys used: as the gateway tells it, and as it is asked for."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Row, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.pages import Page, PageRequest, write_place
from modelyard.errors import InvalidInput
from modelyard.store.tables import Key
from modelyard.store.usage import COUNTS, UsageCount, fold, record, used_on
from modelyard.types.usage import UsageHeard, UsageReport, day_of

GROUPS: Final = ("key", "model", "day")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class UsageAsked:
    """`since` and `until` are dates (UTC), both included; `key` is an id or a name; `group` some of GROUPS, in any
    order, which is that of the answer."""

    since: str | None = None
    until: str | None = None
    key: str | None = None
    model: str | None = None
    group: str = ",".join(GROUPS)


@dataclass(frozen=True, kw_only=True)
class UsageView:
    """Of a key, a model and a day; None for what was not grouped by. Of `prompt_tokens`, `cached_tokens` were read
    already; `tokens` is what budgets count, prompts and answers."""

    key: str | None
    key_name: str | None
    model: str | None
    day: str | None
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tokens: int


def receive(platform: Platform, report: UsageReport) -> UsageHeard:
    """Keep what a gateway tells."""
    today = day_of(platform.now())
    with platform.database.write() as session:
        record(session, report)
        return UsageHeard(day=today, used=used_on(session, today, {row.key for row in report.rows}))


def fold_old(platform: Platform) -> None:
    """Put together what several sources have counted on days that are over for a whole day."""
    more = True
    while more:
        with platform.database.write() as session:
            more = fold(session, day_of(platform.now()) - 1) > 0


def list_usage(platform: Platform, tenant: str, asked: UsageAsked, page: PageRequest) -> Page[UsageView]:
    """Sums, one for each of what is grouped by. Raises InvalidInput."""
    group = _group(asked.group)
    columns = [getattr(UsageCount, name) for name in group]
    sums = [func.sum(getattr(UsageCount, name)) for name in COUNTS]
    query = select(*columns, *sums).where(UsageCount.tenant == tenant, *_filters(tenant, asked))
    if (after := _place(page, group)) is not None:
        query = query.where(tuple_(*columns) > tuple_(*(literal(value) for value in after)))
    query = query.group_by(*columns).order_by(*columns).limit(page.limit + 1)
    with platform.database.read() as session:
        rows = session.execute(query).all()
        items = _views(session, group, rows[: page.limit])
    more = len(rows) > page.limit
    return Page(items=items, next=_cursor(page, group, rows[page.limit - 1]) if more else None)


def _filters(tenant: str, asked: UsageAsked) -> list[Any]:
    since, until = _day("from", asked.since), _day("to", asked.until)
    if since is not None and until is not None and since > until:
        raise InvalidInput("from is after to", came=f"{asked.since} to {asked.until}")
    filters: list[Any] = []
    if since is not None:
        filters.append(UsageCount.day >= since)
    if until is not None:
        filters.append(UsageCount.day <= until)
    if asked.model is not None:
        filters.append(UsageCount.model == asked.model)
    if asked.key is not None:
        named = select(Key.id).where(Key.tenant == tenant, Key.name == asked.key)
        filters.append(or_(UsageCount.key == asked.key, UsageCount.key.in_(named)))
    return filters


def _group(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(GROUPS) or len(set(names)) < len(names):
        raise InvalidInput("group", came=text, allowed="key, model and day, or some of them, with commas")
    return names


def _day(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return max(0, (date.fromisoformat(text) - _EPOCH).days)
    except ValueError:
        raise InvalidInput(name, came=text, allowed="a day as 2026-01-31") from None


def _place(page: PageRequest, group: tuple[str, ...]) -> list[str | int] | None:
    """Where the last page of a list that was grouped alike ended."""
    text = page.after()
    if text is None:
        return None
    try:
        names, values = json.loads(text)
    except (ValueError, TypeError):  # a cursor of ours, of another list
        names, values = None, []
    if names != list(group):
        raise InvalidInput("the cursor is of another list", came=page.cursor)
    place: list[str | int] = values
    return place


def _cursor(page: PageRequest, group: tuple[str, ...], row: Row[Any]) -> str:
    return write_place(json.dumps([group, list(row[: len(group)])]), page.secret)


def _views(session: Session, group: tuple[str, ...], rows: Sequence[Row[Any]]) -> list[UsageView]:
    found = [dict(zip(group, row, strict=False)) for row in rows]
    ids = {one["key"] for one in found if "key" in one}
    names = {key: name for key, name in session.execute(select(Key.id, Key.name).where(Key.id.in_(ids)))}
    return [
        _view(one, names, [int(n) for n in row[len(group) :]]) for one, row in zip(found, rows, strict=True)
    ]


def _view(one: dict[str, Any], names: dict[str, str], counts: list[int]) -> UsageView:
    requests, prompt, cached, completion = counts
    day = one.get("day")
    return UsageView(
        key=one.get("key"),
        key_name=names.get(one.get("key", "")),
        model=one.get("model"),
        day=None if day is None else (_EPOCH + timedelta(days=day)).isoformat(),
        requests=requests,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        tokens=prompt + completion,
    )
