"""That SQL finds what the same filter finds in Python, for any filter and any runs."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from modelyard.control.mlflow import run_search, search
from modelyard.control.mlflow.filters import parse
from modelyard.control.services import external_runs, metric_points
from modelyard.control.services.external_runs import NewExternal
from modelyard.control.services.metric_points import Point
from modelyard.errors import InvalidInput
from modelyard.store.tracking import TrackedRun

KEYS = ("a", "b c", "x.y")
TEXTS = ("", "a", "A", "ab", "a%", "a_", "a/", "it's", "é", "10")
NUMBERS = (-1.0, 0.0, 0.5, 1.0, math.nan)


@dataclass
class Facts:
    """What a filter may ask of a run."""

    name: str
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    id: str = ""


RUNS = [
    Facts("a", {"a": 0.5, "b c": math.nan}, {"a": "a", "x.y": "10"}, {"a": "ab"}),
    Facts("A", {"a": 1.0}, {"a": "A"}, {"a": "a%", "b c": "it's"}),
    Facts("ab", {"a": -1.0, "x.y": 0.0}, {"a": "a/"}, {"x.y": "é"}),
    Facts("", {}, {"b c": "a_"}, {}),
    Facts("it's", {"a": math.nan, "x.y": 1.0}, {"a": "", "b c": "ab"}, {"a": "", "x.y": "A"}),
]


@pytest.fixture
def runs(platform):
    with platform.database.write() as session:
        from modelyard.control.services.experiments import ensure_default

        ensure_default(session, "default", 1)
        for number, facts in enumerate(RUNS):
            asked = NewExternal(name=facts.name, params=facts.params, tags=facts.tags, start_ms=number)
            run, _ = external_runs.start(session, "default", asked, 1.0)
            points = [Point(name=k, step=0, time_ms=0, value=v) for k, v in facts.metrics.items()]
            older = [Point(name=k, step=-1, time_ms=9, value=0.25) for k in facts.metrics]
            metric_points.log(session, "default", run.id, points + older)
            facts.id = run.id
    return platform


def found(platform, text):
    noun = run_search.searchable("default")
    query = select(TrackedRun.run_id).where(TrackedRun.tenant == "default", *search.where(noun, text))
    with platform.database.read() as session:
        return set(session.scalars(query))


def holds(facts, clause):
    """The same in Python."""
    value, how = clause.value, clause.comparator
    have = {
        "metric": facts.metrics, "param": facts.params, "tag": facts.tags, "attribute": {"run_name": facts.name},
    }[clause.name.entity].get(clause.name.key)  # fmt: skip
    if how in ("IS NULL", "IS NOT NULL"):
        return (have is None) == (how == "IS NULL")
    if have is None:
        return False
    if how in ("LIKE", "ILIKE"):
        return like(have, value, ignore_case=how == "ILIKE")
    if how in ("IN", "NOT IN"):
        return (have in value) == (how == "IN")
    return {"=": have == value, "!=": have != value, "<": have < value, "<=": have <= value, ">": have > value,
            ">=": have >= value}[how]  # fmt: skip


def like(text, pattern, ignore_case):
    if ignore_case:
        text, pattern = (
            t.translate({ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}) for t in (text, pattern)
        )
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[n:], pattern[1:], False) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:], False)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


keys = st.sampled_from(KEYS).map(lambda k: f"`{k}`")
texts = st.sampled_from((*TEXTS, "%", "_", "a%", "%b", "%'%", "/", "%/"))
a_metric = st.tuples(
    keys, st.sampled_from(("=", "!=", "<", "<=", ">", ">=")), st.sampled_from(NUMBERS[:-1])
).map(lambda t: f"metrics.{t[0]} {t[1]} {t[2]}")
names = st.one_of(keys.map(lambda k: f"params.{k}"), keys.map(lambda k: f"tags.{k}"), st.just("run_name"))
a_text = st.tuples(names, st.sampled_from(("=", "!=", "LIKE", "ILIKE")), texts).map(
    lambda t: f"{t[0]} {t[1]} {quoted(t[2])}"
)
a_list = st.tuples(names, st.sampled_from(("IN", "NOT IN")), st.lists(texts, min_size=1, max_size=3)).map(
    lambda t: f"{t[0]} {t[1]} ({', '.join(map(quoted, t[2]))})"
)
a_null = st.tuples(
    keys, st.sampled_from(("params", "tags")), st.sampled_from(("IS NULL", "IS NOT NULL"))
).map(lambda t: f"{t[1]}.{t[0]} {t[2]}")
filters = st.lists(st.one_of(a_metric, a_text, a_list, a_null), min_size=1, max_size=3).map(" AND ".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters)
def test_sql_agrees_with_python(runs, text):
    clauses = parse(text)
    assert found(runs, text) == {f.id for f in RUNS if all(holds(f, c) for c in clauses)}, text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text("metricsparmgtun_ .`'()=<>!ANDLIKE01%\0\ud800", max_size=40),
    st.text("aruntags. DESC`\0", max_size=20),
)
def test_no_text_makes_it_fail_otherwise(runs, text, order):
    noun = run_search.searchable("default")
    try:
        query = select(TrackedRun).where(*search.where(noun, text)).order_by(*search.order(noun, [order]))
    except InvalidInput:
        return
    with runs.database.read() as session:
        session.scalars(query).all()


@pytest.mark.parametrize(
    "text",
    ["metrics.a = 'x'", "metrics.a LIKE 'x'", "params.a > 'x'", "params.a = 1", "tags.a IN ('x') AND bogus = 'x'",
     "start_time = 'x'", "start_time LIKE '1%'", "dataset.bogus = 'x'", "start_time IS NULL", "metrics.a IS NULL"],
)  # fmt: skip
def test_comparisons_that_make_no_sense(platform, text):
    with pytest.raises(InvalidInput):
        found(platform, text)


def ordered(platform, *orders):
    noun = run_search.searchable("default")
    query = select(TrackedRun.name).order_by(*search.order(noun, orders))
    with platform.database.read() as session:
        return list(session.scalars(query))


def test_orders(runs):
    assert ordered(runs) == ["it's", "", "ab", "A", "a"]  # the newest first
    assert ordered(runs, "metrics.a DESC") == ["A", "a", "ab", "it's", ""]  # no number, then nothing, last
    assert ordered(runs, "metrics.a") == ["ab", "a", "A", "it's", ""]
    assert ordered(runs, "params.a DESC")[-1] == ""
    assert ordered(runs, "attributes.start_time ASC") == ["a", "A", "ab", "", "it's"]
    assert ordered(runs, "tags.a", "run_name DESC")[-2:] == ["ab", ""]
