"""The language by itself: what it means, and that nothing makes it fail in another way than it says."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.control.mlflow.filters import Clause, Name, parse, parse_orders
from modelyard.errors import InvalidInput


def clause(entity, key, comparator, value=None):
    return Clause(name=Name(entity=entity, key=key), comparator=comparator, value=value)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", []),
        ("  \n", []),
        ("metrics.acc > 0.9", [clause("metric", "acc", ">", 0.9)]),
        ("metrics.acc>=-1e-3", [clause("metric", "acc", ">=", -0.001)]),
        ("metrics.`a b.c` <> 1", [clause("metric", "a b.c", "!=", 1.0)]),
        ('params."x-y" = "z"', [clause("param", "x-y", "=", "z")]),
        ("tags.mlflow.runName like 'a%'", [clause("tag", "mlflow.runName", "LIKE", "a%")]),
        ("tag.a = 'it''s'", [clause("tag", "a", "=", "it's")]),
        ("status = 'FINISHED'", [clause("attribute", "status", "=", "FINISHED")]),
        ("`Run name` = 'x'", [clause("attribute", "Run name", "=", "x")]),
        ("run_id IN ('a', 'b')", [clause("attribute", "run_id", "IN", ("a", "b"))]),
        ("run_id not in ('a')", [clause("attribute", "run_id", "NOT IN", ("a",))]),
        ("params.a IS NULL AND tags.b is not null",
         [clause("param", "a", "IS NULL"), clause("tag", "b", "IS NOT NULL")]),
        ("dataset.name = 'd' and metric.b = 1",
         [clause("dataset", "name", "=", "d"), clause("metric", "b", "=", 1.0)]),
    ],
)  # fmt: skip
def test_what_a_filter_means(text, clauses):
    assert parse(text) == clauses


@pytest.mark.parametrize(
    "text",
    ["foo", "metrics.a >", "metrics.a > 1 OR metrics.b > 1", "a = 'x' 'y'", "a = 'x", "a == 1", "1 = 1", "a IN ()",
     "a IN ('x'", "a IN (1)", "a NOT 'x'", "a IS 'x'", "wrong.a = 1", "metrics.a > 1e999", "AND", "a = 'x' AND",
     "a = b", "(a = 'x')", "; DROP TABLE runs", "a = 'x' --", "x" * 10_001, "a = '1' AND " * 101 + "a = '1'"],
)  # fmt: skip
def test_what_is_no_filter(text):
    with pytest.raises(InvalidInput):
        parse(text)


@given(st.text(max_size=80) | st.text("metricsparamtag.`'\"()=<>! ANDLIKEIN01e+-%,\n", max_size=60))
@example("`")
@example("metrics.``>1")
@example("a.`")
def test_any_text_is_a_filter_or_says_why_not(text):
    for read in (parse, lambda t: parse_orders([t])):
        with suppress(InvalidInput):
            read(text)


def test_orders():
    (found,) = parse_orders(["metrics.`a b` desc"])
    assert (found.name, found.ascending) == (Name(entity="metric", key="a b"), False)
    assert parse_orders(["", "start_time"])[0].ascending
    for text in ("a b", "a DESC x", "DESC DESC DESC", "1"):
        with pytest.raises(InvalidInput):
            parse_orders([text])
