from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import json_values
from modelyard import nets
from modelyard.errors import InvalidInput, ModelyardError, UnknownName
from modelyard.training import parse_recipe
from modelyard.training.early_stop import EarlyStopping
from modelyard.training.recipe import EstimatorTraining, GradientTraining
from modelyard.training.schedules import Cosine, Plateau, Step

WHOLE = """
task: image-classification
name: digits-cnn
data: digits:1
target: label
net: {name: cnn, channels: [8, 8, 8]}
preprocessing: {mode: L}
training:
  optimizer: sgd
  learning_rate: 1e-2
  momentum: 0.5
  schedule: {name: step, every: 2}
  batch_size: 32
  epochs: 4
  early_stopping: {patience: 2}
  stop_at_loss: 0.01
  weight_decay: 0.001
  clip_norm: 1
  seed: 7
evaluation: {split: validation, bootstrap: 100, confidence: 0.9}
"""
LEAST = {"task": "tabular-classification", "name": "m", "data": "wine"}


def test_a_whole_recipe() -> None:
    recipe = parse_recipe(WHOLE)
    assert recipe.net.config == {"channels": [8, 8, 8], "hidden": 128, "dropout": 0.25}
    training = recipe.training
    assert isinstance(training, GradientTraining)
    assert training.learning_rate == 0.01
    assert training.schedule == Step(every=2)
    assert training.early_stopping == EarlyStopping(patience=2)
    assert recipe.evaluation.confidence == 0.9
    assert recipe.preprocessing == {"size": None, "mode": "L"}


@pytest.mark.parametrize("net", nets.NETS)
def test_what_a_recipe_writes_it_reads_again(net: str) -> None:
    for task in nets.load(net).tasks:
        recipe = parse_recipe({"task": task, "name": "m", "data": "wine", "net": net})
        assert parse_recipe(recipe.to_dict()) == recipe
    assert parse_recipe(parse_recipe(WHOLE).to_dict()) == parse_recipe(WHOLE)


def test_gaps_are_filled_from_the_task() -> None:
    assert parse_recipe(LEAST).net.name == "random_forest"
    assert parse_recipe(LEAST).training == EstimatorTraining()
    image = parse_recipe({"task": "image-classification", "name": "m", "data": "digits"})
    assert image.net.name == "cnn"
    assert isinstance(image.training, GradientTraining)
    assert isinstance(image.training.schedule, Cosine)
    assert image.training.epochs is None


def test_a_schedule_by_its_name_alone() -> None:
    recipe = parse_recipe({**LEAST, "net": "mlp", "training": {"schedule": "plateau"}})
    assert isinstance(recipe.training, GradientTraining)
    assert recipe.training.schedule == Plateau()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainning": {}}, ["'trainning' in recipe", "did you mean 'training'"]),
        (
            {"net": "mlp", "training": {"optimiser": "sgd"}},
            ["in recipe.training", "did you mean 'optimizer'"],
        ),
        ({"net": {"name": "mlp", "hiden": [3]}}, ["in recipe.net", "did you mean 'hidden'"]),
        ({"net": "svn"}, ["unknown net 'svn'", "did you mean 'svm'"]),
        ({"task": "tabular-classify"}, ["did you mean 'tabular-classification'"]),
        ({"preprocessing": {"imput": 1}}, ["in recipe.preprocessing", "did you mean 'impute'"]),
        ({"evaluation": {"splt": "test"}}, ["in recipe.evaluation", "did you mean 'split'"]),
        ({"net": "mlp", "training": {"schedule": "cosin"}}, ["recipe.training.schedule", "'cosine'"]),
        (
            {"net": "mlp", "training": {"schedule": {"name": "cosine", "every": 2}}},
            ["'every' in recipe.training.schedule"],
        ),
        (
            {"net": "mlp", "training": {"early_stopping": {"patienc": 2}}},
            ["in recipe.training.early_stopping", "did you mean 'patience'"],
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest(
    change: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UnknownName) as caught:
        parse_recipe({**LEAST, **change})
    for word in words:
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"net": "cnn"}, ["'cnn' does not take the task", "random_forest"]),
        ({"net": "mlp", "training": {"learning_rate": 0}}, ["recipe.training.learning_rate", "came: 0"]),
        ({"net": "mlp", "training": {"learning_rate": "1"}}, ["recipe.training.learning_rate"]),
        ({"net": "mlp", "training": {"learning_rate": float("nan")}}, ["finite"]),
        ({"net": "mlp", "training": {"epochs": 0}}, ["recipe.training.epochs", "came: 0"]),
        ({"net": "mlp", "training": {"epochs": 1.5}}, ["recipe.training.epochs", "came: 1.5"]),
        ({"net": "mlp", "training": {"batch_size": True}}, ["recipe.training.batch_size"]),
        ({"net": "mlp", "training": {"optimizer": "lion"}}, ["recipe.training.optimizer", "came: lion"]),
        ({"net": "mlp", "training": []}, ["recipe.training must be a mapping"]),
        ({"net": "svm", "training": {"epochs": 3}}, ["does not apply", "fitted in one go", "allowed: seed"]),
        ({"net": {"name": "svm", "c": -1}}, ["recipe.net.c", "came: -1"]),
        ({"net": 5}, ["recipe.net needs a name"]),
        ({"net": {"c": 1}}, ["recipe.net needs a name"]),
        ({"evaluation": {"confidence": 1}}, ["recipe.evaluation.confidence"]),
        ({"evaluation": {"split": "tests"}}, ["recipe.evaluation.split", "came: tests"]),
        ({"training": {"seed": -1}}, ["recipe.training.seed"]),
        ({"name": "My Model"}, ["recipe.name", "came: My Model"]),
        ({"name": "../etc"}, ["recipe.name"]),
        ({"name": 5}, ["recipe.name must be text"]),
        ({"name": None}, ["recipe.name is missing"]),
        ({"data": "a b"}, ["recipe.data"]),
        ({"data": "wine:../1"}, ["recipe.data"]),
        ({"target": 3}, ["recipe.target must be text"]),
    ],
)
def test_a_wrong_value_says_what_came_and_what_is_allowed(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_recipe({**LEAST, **change})
    for word in words:
        assert word in caught.value.message


WORDS = st.text(max_size=5)
JSON = json_values(st.none() | st.booleans() | st.integers() | st.floats() | WORDS, WORDS)
SECTIONS = ("task", "name", "data", "target", "net", "preprocessing", "training", "evaluation")


@given(st.dictionaries(st.sampled_from(SECTIONS), JSON))
def test_any_json_is_a_recipe_or_an_error_of_ours(change: dict[str, Any]) -> None:
    try:
        recipe = parse_recipe({**LEAST, **change})
    except ModelyardError:
        return
    assert parse_recipe(recipe.to_dict()) == recipe
