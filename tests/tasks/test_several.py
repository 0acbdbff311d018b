"""Several targets of a table."""

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput
from modelyard.tasks import several
from modelyard.training import parse_recipe

CLASSES, NUMBERS = tasks.load("tabular-classification"), tasks.load("tabular-regression")
LABELS = ("risk=bad", "risk=good", "home=own", "home=rent", "home=other")
FITTED = {"columns": [{"name": "x", "kind": "number"}], "numbers": {"names": ["x"], "indicator": [False]}}
FITTED |= {"timestamps": {"names": []}, "categories": []}


def test_an_output_of_each_target() -> None:
    fitted = FITTED | {"target": ["risk", "home"]}
    assert [(o.name, o.shape) for o in CLASSES.tensors(fitted, LABELS).outputs] == [
        ("probabilities.risk", (-1, 2)),
        ("probabilities.home", (-1, 3)),
    ]
    assert [o.name for o in NUMBERS.signature(fitted, ()).outputs] == ["prediction.risk", "prediction.home"]
    assert [o.name for o in NUMBERS.signature(FITTED | {"target": "risk"}, ()).outputs] == ["prediction"]


def test_answers_by_target() -> None:
    outputs = {
        "probabilities.risk": np.array([[0.25, 0.75]], np.float32),
        "probabilities.home": np.array([[0.5, 0.125, 0.375]], np.float32),
    }
    assert CLASSES.encode(outputs, LABELS, {"top_k": 1}) == [
        {"risk": [{"label": "good", "score": 0.75}], "home": [{"label": "own", "score": 0.5}]}
    ]
    numbers = {"prediction.a": np.array([1, 2], np.float32), "prediction.b.c": np.array([3, 4], np.float32)}
    assert NUMBERS.encode(numbers, (), {}) == [{"a": 1, "b.c": 3}, {"a": 2, "b.c": 4}]


def test_targets_side_by_side() -> None:
    column = {"risk": np.array(["good", "bad"], object), "home": np.array(["own", "other"], object)}
    assert CLASSES.targets(column, LABELS).tolist() == [[1, 0], [0, 2]]
    assert NUMBERS.targets({"a": [1, 2], "b": [3.0, 4.0]}, ()).tolist() == [[1, 3], [2, 4]]
    with pytest.raises(InvalidInput, match="target 'home': the label column has missing values"):
        CLASSES.targets(column | {"home": np.array(["own", None], object)}, LABELS)


def test_figures_are_means_and_those_of_each() -> None:
    outputs = {"prediction.a": np.array([1.0, 1]), "prediction.b": np.array([0.0, 10])}
    targets = np.array([[1.0, 3], [3, 7]])
    found = NUMBERS.metrics(outputs, targets, ())
    assert found.values["mae (a)"] == 1
    assert found.values["mae (b)"] == 3
    assert found.values["mae"] == 2
    assert NUMBERS.main(outputs, targets) == pytest.approx(found.values["rmse"])
    probabilities = {"probabilities.risk": np.eye(2), "probabilities.home": np.eye(3)[:2]}
    found = CLASSES.metrics(probabilities, np.array([[0, 0], [0, 1]]), LABELS)
    assert found.values["accuracy"] == 0.75
    assert found.per_class["home=own"]["recall"] == 1
    assert not found.confusion


def test_a_recipe_names_them() -> None:
    given = {"task": "tabular-regression", "name": "m", "data": "d", "target": ["a", "b"]}
    recipe = parse_recipe(given)
    assert recipe.target == ("a", "b")
    assert parse_recipe(recipe.to_dict()) == recipe
    assert parse_recipe(given | {"target": ["a"]}).target == "a"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"target": ["a", "a"]}, "each once"),
        ({"target": ["a", "b=c"]}, "without '='"),
        ({"target": ["a", 3]}, "text, or a list of it"),
        ({"target": 3}, "text, or a list of it"),
        ({"target": []}, "two or more"),
        ({"task": "image-classification", "target": ["a", "b"]}, "predicts one column"),
    ],
)
def test_targets_that_no_recipe_has(change: dict[str, object], error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        parse_recipe({"task": "tabular-regression", "name": "m", "data": "d", **change})


def test_labels_of_a_target() -> None:
    assert several.labelled("risk", ("bad", "good")) == LABELS[:2]
    assert several.labels_of("home", LABELS) == ("own", "rent", "other")
