import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import Column, Schema

TASK = tasks.load("tabular-regression")


def _schema(kind: str) -> Schema:
    return Schema(columns=(Column(name="a", kind="number"), Column(name="y", kind=kind)))  # type: ignore[arg-type]


def test_the_target_must_be_numbers() -> None:
    assert TASK.check(_schema("number"), "y") == TASK.check(_schema("integer"), "y") == ["a"]
    for kind in ("category", "boolean", "text"):
        with pytest.raises(InvalidInput, match="target of numbers"):
            TASK.check(_schema(kind), "y")
    with pytest.raises(InvalidInput, match="no such target column"):
        TASK.check(_schema("number"), "z")


def test_targets_must_be_finite() -> None:
    assert TASK.targets(np.array([1, 2]), ()).dtype == np.float64
    for bad in (np.array([1.0, np.nan]), np.array([np.inf])):
        with pytest.raises(InvalidInput, match="missing or infinite"):
            TASK.targets(bad, ())
    with pytest.raises(InvalidInput, match="not of numbers"):
        TASK.targets(np.array(["a"], dtype=object), ())


def test_answers_are_numbers_and_there_are_no_parameters() -> None:
    outputs = {"prediction": np.array([1.5, 2.5], np.float32)}
    assert TASK.encode(outputs, (), {}) == [1.5, 2.5]
    with pytest.raises(UnknownName):
        TASK.encode(outputs, (), {"top_k": 1})
    with pytest.raises(InvalidInput, match="no finite answer"):
        TASK.encode({"prediction": np.array([np.inf], np.float32)}, (), {})


def test_main_is_the_metric_of_its_name() -> None:
    outputs = {"prediction": np.array([1.0, 3.0], np.float32)}
    targets = np.array([1.0, 1.0])
    assert TASK.main(outputs, targets) == pytest.approx(np.sqrt(2))
    assert TASK.metrics(outputs, targets, ()).values[TASK.main_metric] == pytest.approx(np.sqrt(2))
    assert not TASK.higher_is_better
