import json
from typing import Any

import numpy as np
import pytest

from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks import queries


def asked(inputs: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for text in queries.encode(queries.sample(inputs))]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"user": 196}, [{"user": 196}]),
        ({"user": "196", "k": 3}, [{"user": "196", "k": 3}]),
        ({"data": {"user": [196], "item": ["242"]}}, [{"user": 196, "item": "242"}]),
        ([{"user": 1}, {"liked": ["a"]}], [{"user": 1}, {"liked": ["a"]}]),
        ({"user": [1, 2], "k": 5}, [{"user": 1, "k": 5}, {"user": 2, "k": 5}]),
        ({"liked": ["a", "b"]}, [{"liked": ["a", "b"]}]),
        ({"data": {"liked": [["a"], ["b", "c"]]}}, [{"liked": ["a"]}, {"liked": ["b", "c"]}]),
        ({"user": [1, 2], "exclude": ["a"]}, [{"user": 1, "exclude": ["a"]}, {"user": 2, "exclude": ["a"]}]),
        ({"user": [1.0, float("nan")]}, [{"user": 1}, {}]),
        ({"user": np.array([7])}, [{"user": 7}]),
        ({"user": 1, "include_seen": True}, [{"user": 1, "include_seen": True}]),
    ],
)
def test_the_forms_of_a_query(inputs: Any, expected: list[dict[str, Any]]) -> None:
    if isinstance(inputs.get("user") if isinstance(inputs, dict) else None, np.ndarray):
        assert [json.loads(text) for text in queries.encode(inputs)] == expected
    else:
        assert asked(inputs) == expected


@pytest.mark.parametrize("inputs", ["196", 196, [], {}, [196], None])
def test_what_is_no_query_is_refused_with_an_example(inputs: Any) -> None:
    with pytest.raises(InvalidInput, match=r'inputs are no queries.*"user"'):
        queries.sample(inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"user": 1, "k": 0}, r"query 0.k: Expected `int` >= 1"),
        ({"user": 1, "k": 100_000}, r"query 0.k: Expected `int` <= 1000"),
        ({"user": 1, "k": "ten"}, r"query 0.k: Expected `int"),
        ({"user": 1.5}, r"query 0.user: Expected"),
        ([{"user": 1}, {"user": {}}], r"query 1.user: Expected"),
        ({"user": "x" * 2000}, r"query 0.user: Expected `str` of length <= 1000"),
        ({"liked": "a"}, r"query 0.liked: Expected `array`"),
        ({"liked": [["a"], [None]]}, r"query 1.liked\[0\]: Expected"),
        ({"user": True}, r"query 0.user: Expected"),
        ({"user": [1, 2], "k": [1, 2, 3]}, "same number of rows"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(inputs: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        asked(inputs)


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'user'"):
        queries.sample({"usr": 1})


@pytest.mark.parametrize("text", [b"", b"{", b"196", b"\xff", b'{"user": []}', b'{"other": 1}', None])
def test_texts_that_came_as_they_are_are_checked_too(text: Any) -> None:
    array = np.empty(1, object)
    array[0] = text
    with pytest.raises(InvalidInput, match="query 0"):
        queries.decode(array)


def test_parameters_hold_for_all_queries() -> None:
    texts = queries.encode({"user": [1, 2], "k": [3, None]})
    changed = queries.decode(queries.changed(texts, {"k": 7, "exclude": ["a"]}))
    assert [(query.user, query.k, query.exclude) for query in changed] == [(1, 7, ("a",)), (2, 7, ("a",))]
    with pytest.raises(UnknownName):
        queries.changed(texts, {"top": 1})
