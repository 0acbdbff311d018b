"""Usage as it is asked for, and what budgets make of it."""

import dataclasses
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from control_seed import add_tenant
from modelyard.control.loops.housekeeping import Housekeeping
from modelyard.control.platform import Platform
from modelyard.control.services import keys, usage
from modelyard.control.services.pages import PageRequest
from modelyard.control.services.usage import UsageAsked, UsageView
from modelyard.errors import InvalidInput
from modelyard.store.usage import UsageCount
from modelyard.types.usage import FOREVER, UsageHeard, UsageReport, UsageRow, day_of

NEW_YEAR = day_of(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def row(key: str, model: str, day: int, prompt: int, tenant: str = "default") -> UsageRow:
    return UsageRow(
        tenant=tenant, key=key, model=model, day=day, requests=1, prompt=prompt, cached=1, completion=2
    )


def tell(platform: Platform, *rows: UsageRow, source: str = "a", settled: int = 0) -> UsageHeard:
    return usage.receive(platform, UsageReport(source=source, rows=rows, settled=settled))


def listed(platform: Platform, tenant: str = "default", limit: int = 500, **asked: str) -> list[UsageView]:
    """Over all pages."""
    found, cursor = [], None
    while True:
        request = PageRequest(limit=limit, cursor=cursor, secret=b"x")
        page = usage.list_usage(platform, tenant, UsageAsked(**asked), request)
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


@pytest.fixture
def told(platform: Platform) -> tuple[Platform, str, str]:
    """Two keys, two models, three days, two sources; and another tenant."""
    add_tenant(platform, "other")
    ada, bob = (keys.create(platform, "default", name, ["predict"]).id for name in ("ada", "bob"))
    tell(
        platform,
        *(row(ada, model, NEW_YEAR + d, 10 * (d + 1)) for model in ("chat", "write") for d in range(3)),
    )
    tell(platform, row(ada, "chat", NEW_YEAR, 100), row(bob, "chat", NEW_YEAR, 7), source="b")
    tell(platform, row("key_other", "chat", NEW_YEAR, 5, "other"))
    return platform, ada, bob


def test_by_key_model_and_day(told: tuple[Platform, str, str]) -> None:
    platform, ada, _ = told
    found = listed(platform)
    assert len(found) == 7
    assert found[0] == UsageView(
        key=ada, key_name="ada", model="chat", day="2026-01-01", requests=2, prompt_tokens=110, cached_tokens=2,
        completion_tokens=4, tokens=114,
    )  # fmt: skip
    assert [(u.key, u.model, u.day) for u in found] == sorted((u.key, u.model, u.day) for u in found)


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_sums_by_what_is_asked_for_over_pages(told: tuple[Platform, str, str], limit: int) -> None:
    platform, ada, bob = told
    by_day = listed(platform, limit=limit, group="day")
    assert [(u.day, u.tokens, u.key, u.model) for u in by_day] == [
        ("2026-01-01", 114 + 9 + 12, None, None),
        ("2026-01-02", 44, None, None),
        ("2026-01-03", 64, None, None),
    ]
    by_model = listed(platform, limit=limit, group="model,key")
    assert [(u.model, u.key, u.requests) for u in by_model] == [
        ("chat", *pair) for pair in sorted([(ada, 4), (bob, 1)])
    ] + [("write", ada, 3)]


def test_what_is_asked_for(told: tuple[Platform, str, str]) -> None:
    platform, _, bob = told
    for key in (bob, "bob"):
        assert [(u.key_name, u.tokens) for u in listed(platform, key=key)] == [("bob", 9)]
    assert {u.model for u in listed(platform, model="write")} == {"write"}
    asked = {"since": "2026-01-02", "until": "2026-01-02"}
    assert {u.day for u in listed(platform, **asked)} == {"2026-01-02"}
    assert listed(platform, key="nobody") == []
    assert listed(platform, since="2026-01-04") == []
    assert listed(platform, until="1960-01-01") == []
    assert [(u.key, u.key_name, u.tokens) for u in listed(platform, "other")] == [("key_other", None, 7)]


def test_a_revoked_key_stays_with_its_name(told: tuple[Platform, str, str]) -> None:
    platform, _, bob = told
    keys.revoke(platform, "default", bob)
    assert [u.key_name for u in listed(platform, key=bob)] == ["bob"]


@pytest.mark.parametrize(
    "asked",
    [
        *({name: text} for name in ("since", "until") for text in (
            "", "today", "2026-13-01", "2026-02-30", "2026-1-1", "20260101", "2026-W01-1", "2026-01-01T00:00", "-1",
            "٢٠٢٦-٠١-٠١", "0000-01-01", "99999-01-01",
        )),
        {"since": "2026-01-02", "until": "2026-01-01"},
        *({"group": text} for text in ("", "tenant", "day,day", "key,", "key;model", "day ", "source")),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for(platform: Platform, asked: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        listed(platform, **asked)


def test_a_cursor_of_another_grouping_is_refused(told: tuple[Platform, str, str]) -> None:
    platform, *_ = told
    first = usage.list_usage(
        platform, "default", UsageAsked(group="day"), PageRequest(limit=1, cursor=None, secret=b"x")
    )
    again = PageRequest(limit=1, cursor=first.next, secret=b"x")
    for group in ("key", "day,key"):
        with pytest.raises(InvalidInput, match="another list"):
            usage.list_usage(platform, "default", UsageAsked(group=group), again)
    forged = dataclasses.replace(again, secret=b"y")
    with pytest.raises(InvalidInput):
        usage.list_usage(platform, "default", UsageAsked(group="day"), forged)


def test_control_answers_with_what_it_knows_of_today(platform: Platform) -> None:
    clocked = dataclasses.replace(platform, now=lambda: NEW_YEAR * 86_400.0 + 5)
    tell(clocked, row("k", "m", NEW_YEAR - 1, 50), row("k", "m", NEW_YEAR, 10))
    heard = tell(clocked, row("k", "n", NEW_YEAR, 3), row("l", "n", NEW_YEAR - 1, 3), source="b")
    assert heard == UsageHeard(day=NEW_YEAR, used={"k": 17})


def test_the_gateway_is_told_budgets_and_what_is_used_of_them(platform: Platform) -> None:
    clocked = dataclasses.replace(platform, now=lambda: NEW_YEAR * 86_400.0 + 5)
    limited = keys.create(clocked, "default", "limited", ["predict"], budget=100)
    free = keys.create(clocked, "default", "free", ["predict"])
    tell(
        clocked,
        *(row(key, "m", day, 10) for key in (limited.id, free.id) for day in (NEW_YEAR - 1, NEW_YEAR)),
    )
    with clocked.database.read() as session:
        grants = {g.id: g for g in keys.grants(clocked, session).values()}
    assert [(g.budget, g.used, g.day) for g in (grants[limited.id], grants[free.id])] == [
        (100, 12, NEW_YEAR), (None, 0, 0),
    ]  # fmt: skip
    assert keys.show(clocked, "default", limited.id).used_today == 12
    assert keys.change(clocked, "default", limited.id, 7).budget == 7
    assert keys.change(clocked, "default", limited.id, None).budget is None


@pytest.mark.parametrize("budget", [0, -1, 10**15 + 1])
def test_no_budget(platform: Platform, budget: int) -> None:
    with pytest.raises(InvalidInput, match="budget"):
        keys.create(platform, "default", "a", ["predict"], budget=budget)
    made = keys.create(platform, "default", "a", ["predict"])
    with pytest.raises(InvalidInput, match="budget"):
        keys.change(platform, "default", made.id, budget)


def test_housekeeping_folds_days_that_are_over_for_a_day(platform: Platform) -> None:
    for source, settled in (("a", FOREVER), ("b", FOREVER), ("c", 0)):
        tell(platform, row("k", "m", NEW_YEAR, 10), source=source, settled=settled)
    for day, rows in ((1, 3), (2, 2)):
        clocked = dataclasses.replace(platform, now=lambda d=day: (NEW_YEAR + d) * 86_400.0)
        Housekeeping(clocked).step()
        with platform.database.read() as session:
            assert len(session.scalars(select(UsageCount)).all()) == rows
        assert [(u.requests, u.tokens) for u in listed(platform)] == [(3, 36)]
