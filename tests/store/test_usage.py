"""Usage as it is kept, on each kind of database."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from modelyard.control.services import usage
from modelyard.control.services.pages import PageRequest
from modelyard.control.services.usage import UsageAsked
from modelyard.store.database import Database, open_database
from modelyard.store.tables import Tenant
from modelyard.store.usage import FOLDED, UsageCount, fold, record, used_on
from modelyard.types.usage import FOREVER, MOST, UsageReport, UsageRow


def row(key: str = "k", model: str = "m", day: int = 5, tenant: str = "default", **counts: int) -> UsageRow:
    return UsageRow(tenant=tenant, key=key, model=model, day=day, **counts)


def report(*rows: UsageRow, source: str = "a", settled: int = 0) -> UsageReport:
    return UsageReport(source=source, rows=rows, settled=settled)


def tell(database: Database, *reports: UsageReport) -> None:
    for one in reports:
        with database.write() as session:
            record(session, one)


def kept(database: Database) -> list[tuple[str, str, int, str, int, int, int, int]]:
    with database.read() as session:
        rows = session.scalars(select(UsageCount).order_by(UsageCount.day, UsageCount.source))
        return [(r.key, r.model, r.day, r.source, r.requests, r.prompt, r.cached, r.completion) for r in rows]


def folded(database: Database, before: int) -> int:
    with database.write() as session:
        return fold(session, before)


def test_a_report_twice_or_late_changes_nothing(database: Database) -> None:
    old = report(row(requests=1, prompt=10, cached=5, completion=3))
    new = report(row(requests=2, prompt=30, cached=5, completion=9))
    tell(database, old, new, new, old)
    assert kept(database) == [("k", "m", 5, "a", 2, 30, 5, 9)]


def test_sources_are_counted_beside_each_other(database: Database) -> None:
    tell(
        database, report(row(prompt=10, completion=1)), report(row(prompt=7), row("l", prompt=1), source="b")
    )
    with database.read() as session:
        assert used_on(session, 5, {"k", "l", "nobody"}) == {"k": 18, "l": 1}
        assert used_on(session, 6, {"k"}) == {}
        assert used_on(session, 5, select(UsageCount.key).where(UsageCount.source == "b")) == {
            "k": 18,
            "l": 1,
        }


def test_a_tenant_that_is_gone_holds_nothing_up(database: Database) -> None:
    tell(database, report(row(tenant="gone", prompt=3), row(prompt=4)))
    assert kept(database) == [("k", "m", 5, "a", 0, 4, 0, 0)]


def test_counts_are_as_large_as_they_may_be(database: Database) -> None:
    tell(database, report(row(prompt=MOST)))
    assert kept(database)[0][5] == MOST


def test_only_what_is_settled_is_folded(database: Database) -> None:
    tell(
        database,
        report(row(prompt=1, requests=1), row(day=6, prompt=2)),
        report(row(prompt=10, requests=1), source="b"),
        report(source="a", settled=6),
    )
    assert folded(database, 6) == 1
    assert kept(database) == [
        ("k", "m", 5, FOLDED, 1, 1, 0, 0),
        ("k", "m", 5, "b", 1, 10, 0, 0),
        ("k", "m", 6, "a", 0, 2, 0, 0),
    ]
    tell(database, report(row(prompt=15, requests=2), source="b"), report(source="b", settled=FOREVER))
    assert folded(database, 6) == 1
    assert kept(database)[0] == ("k", "m", 5, FOLDED, 3, 16, 0, 0)
    assert folded(database, 6) == 0


def test_many_places_are_folded_step_by_step(database: Database) -> None:
    tell(database, report(*(row(f"k{n}", prompt=n) for n in range(1500)), settled=6))
    assert [folded(database, 6) for _ in range(3)] == [1000, 500, 0]
    with database.read() as session:
        assert session.scalar(select(func.sum(UsageCount.prompt))) == sum(range(1500))


@pytest.mark.parametrize("group", ["key,model,day", "day", "day,key", "model,day,key"])
def test_lists_page_alike_on_every_database(database: Database, group: str) -> None:
    """The services' own query: it compares tuples, and sums."""
    rows = [row(key, model, day, prompt=day) for key in "kl" for model in "mn" for day in (1, 2, 10)]
    tell(database, report(*rows), report(*rows, source="b"))
    platform: Any = SimpleNamespace(database=database)
    found, cursor = [], None
    while cursor is not None or not found:
        page = usage.list_usage(
            platform, "default", UsageAsked(group=group), PageRequest(limit=5, cursor=cursor, secret=b"x")
        )
        found, cursor = found + page.items, page.next
    places = [tuple(getattr(one, name) for name in group.split(",")) for one in found]
    assert places == sorted(set(places))
    assert sum(one.tokens for one in found) == 2 * 4 * 13


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Database:
    opened = open_database(None, tmp_path_factory.mktemp("usage") / "test.db")
    with opened.write() as session:
        session.add_all([Tenant(id="default", created_at=1.0), Tenant(id="other", created_at=1.0)])
    return opened


_step = st.one_of(
    st.tuples(
        st.just("use"), st.sampled_from("ab"), st.sampled_from("kl"), st.integers(0, 3), st.integers(1, 9)
    ),
    st.tuples(st.just("tell"), st.sampled_from("ab"), st.integers(0, 2)),
    st.tuples(st.just("settle"), st.sampled_from("ab"), st.integers(1, 4)),
    st.tuples(st.just("fold"), st.integers(0, 4)),
)


@settings(max_examples=150)
@given(st.lists(_step, max_size=25))
def test_no_token_is_lost_or_doubled(embedded: Database, steps: list[tuple[object, ...]]) -> None:
    """Whatever is told, told again, settled and folded: afterwards all is there that was told."""
    with embedded.write() as session:
        session.execute(delete(UsageCount))
    totals: dict[tuple[str, str, int], int] = defaultdict(int)  # source, key, day
    settled = {"a": 0, "b": 0}
    sent: dict[str, list[UsageReport]] = {"a": [], "b": []}
    for name, *said in steps:
        if name == "use":
            source, key, day, tokens = said
            if day >= settled[source]:  # type: ignore[index, operator]
                totals[source, key, day] += tokens  # type: ignore[index, operator]
        elif name == "tell":
            source, back = said
            rows = [
                row(k, day=d, prompt=n) for (s, k, d), n in totals.items() if s == source and d >= settled[s]
            ]
            sent[source].append(report(*rows, source=source))  # type: ignore[index, arg-type]
            late = sent[source][max(0, len(sent[source]) - 1 - back) :]  # type: ignore[index, operator]
            tell(embedded, sent[source][-1], *late)  # type: ignore[index]
        elif name == "settle":
            source, day = said
            rows = [
                row(k, day=d, prompt=n) for (s, k, d), n in totals.items() if s == source and d >= settled[s]
            ]
            tell(embedded, report(*rows, source=source), report(source=source, settled=day))  # type: ignore[arg-type]
            settled[source] = max(settled[source], day)  # type: ignore[index, type-var]
            sent[source] = []  # type: ignore[index]
        else:
            folded(embedded, said[0])  # type: ignore[arg-type]
    for source in settled:
        rows = [row(k, day=d, prompt=n) for (s, k, d), n in totals.items() if s == source and d >= settled[s]]
        tell(embedded, report(*rows, source=source))
    wanted: dict[tuple[str, int], int] = defaultdict(int)
    for (_, key, day), tokens in totals.items():
        wanted[key, day] += tokens
    with embedded.read() as session:
        grouped = select(UsageCount.key, UsageCount.day, func.sum(UsageCount.prompt))
        found = session.execute(grouped.group_by(UsageCount.key, UsageCount.day)).all()
    assert {(key, day): int(n) for key, day, n in found} == dict(wanted)
