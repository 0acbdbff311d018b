"""The task of models that are served as they are."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import json_values
from modelyard import tasks
from modelyard.errors import InvalidInput
from modelyard.types.dataset import Column, Schema

TASK = tasks.load("tensors")


def prepared(*inputs: tuple[str, str, list[int]]) -> Any:
    specs = [{"name": n, "datatype": d, "shape": s} for n, d, s in inputs]
    return TASK.prepare({"inputs": specs, "outputs": []})


SEQUENCE = prepared(("x", "FP32", [-1, -1, 3]))


def decode(value: Any, box: Any = SEQUENCE) -> Any:
    return box.decode(TASK.sample(value))


def test_rows_are_the_one_inputs_or_are_named() -> None:
    rows = [[[1, 2, 3]], [[4, 5.5, 6]]]
    for value in (rows, {"x": rows}, {"data": {"x": rows}}):
        assert np.array_equal(decode(value)["x"], np.array(rows, np.float32))


def test_numbers_are_what_the_model_takes() -> None:
    box = prepared(("n", "UINT8", [-1]), ("flag", "BOOL", [-1]), ("text", "BYTES", [-1]))
    found = decode({"n": [1, 255], "flag": [True, False], "text": ["a", "ä"]}, box)
    assert {k: v.dtype.name for k, v in found.items()} == {"n": "uint8", "flag": "bool", "text": "object"}
    assert found["text"].tolist() == [b"a", "ä".encode()]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "not tensors"),
        ("text", "not tensors"),
        ([[1, 2]], r"wrong shape; came: \[1, 2\]"),
        ([[[1, 2]]], "wrong shape"),
        ([[["a", "b", "c"]]], "not a tensor of numbers"),
        ([[[True, False, True]]], "not a tensor of numbers"),
        ([[[1, 2, 3]], [[1, 2]]], "not a tensor of numbers"),
        ([], "wrong shape"),
        ({"y": [[[1, 2, 3]]]}, "other inputs; came: ..y..; allowed: x"),
        ({}, "other inputs"),
        ([[[None, 1, 2]]], "not a tensor of numbers"),
    ],
)
def test_what_is_no_tensor_of_the_model_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode(value)


@pytest.mark.parametrize("value", [[256], [-1], [1.5], [2**70]])
def test_what_the_datatype_cannot_hold_is_refused(value: list[Any]) -> None:
    with pytest.raises(InvalidInput, match=r"out of range|not a tensor"):
        decode(value, prepared(("n", "UINT8", [-1])))


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(json_values(_LEAVES, st.sampled_from(["x", "data", "y"])))
def test_no_json_value_is_more_than_an_error_of_the_users(value: Any) -> None:
    with suppress(InvalidInput):
        assert decode(value)["x"].dtype == np.float32


def test_answers_are_nested_lists_and_named_where_there_are_several() -> None:
    one = {"y": np.array([[1.5], [2.5]], np.float32)}
    assert TASK.encode(one, (), {}) == [[1.5], [2.5]]
    both = {**one, "t": np.array([b"a", b"b"], object)}
    assert TASK.encode(both, (), {}) == [{"y": [1.5], "t": "a"}, {"y": [2.5], "t": "b"}]
    with pytest.raises(InvalidInput, match="no finite answer"):
        TASK.encode({"y": np.array([np.nan])}, (), {})
    with pytest.raises(InvalidInput, match=r"unknown key .top_k."):
        TASK.encode(one, (), {"top_k": 1})


def test_no_recipe_trains_it_and_nothing_evaluates_it() -> None:
    schema = Schema(columns=(Column(name="a", kind="number"),))
    with pytest.raises(InvalidInput, match="brought, not trained"):
        TASK.check(schema, "a")
    with pytest.raises(InvalidInput, match="no notion of a good answer"):
        TASK.metrics({}, np.zeros(1), ())
