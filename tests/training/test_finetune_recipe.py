from typing import Any

import pytest

from modelyard.errors import InvalidInput, UnknownName
from modelyard.training.finetune_recipe import FinetuneRecipe, is_finetune, parse_finetune
from modelyard.training.recipe import parse_recipe
from modelyard.training.schedules import Constant, Cosine

RECIPE = {"task": "text-generation", "name": "austen", "data": "austen", "base": "gemma@champion"}


def parse(**keys: Any) -> FinetuneRecipe:
    return parse_finetune({**RECIPE, **keys})


def test_gaps_are_filled_and_a_whole_recipe_is_itself() -> None:
    recipe = parse(training={"method": "full", "schedule": "constant"})
    assert recipe.training.rate == 2e-5
    assert recipe.training.schedule == Constant()
    assert parse().training.rate == 2e-4
    assert parse().training.schedule == Cosine(warmup=0.05)
    assert parse_finetune(recipe.to_dict()) == recipe


def test_yaml_is_read() -> None:
    text = "task: text-generation\nname: a\ndata: b:3\nbase: c\ntraining: {learning_rate: 1e-3, rank: 4}\n"
    recipe = parse_finetune(text)
    assert (recipe.training.rate, recipe.training.rank, recipe.data) == (1e-3, 4, "b:3")


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        ({"training": {"rank": 0}}, InvalidInput, r"recipe\.training\.rank.*>= 1; came: 0"),
        ({"training": {"rnak": 8}}, UnknownName, "did you mean 'rank'"),
        ({"training": {"dropout": 1}}, InvalidInput, "dropout"),
        ({"training": {"alpha": 0}}, InvalidInput, "alpha"),
        ({"training": {"method": "qlora"}}, InvalidInput, "method.*qlora"),
        ({"training": {"method": "full", "rank": 4}}, InvalidInput, "rank is LoRA's"),
        ({"training": {"method": "full", "merge": True}}, InvalidInput, "merge is LoRA's"),
        ({"training": {"target_modules": []}}, InvalidInput, "target_modules is empty"),
        ({"training": {"schedule": "plateau"}}, UnknownName, "plateau"),
        ({"training": {"loss_on": "prompts"}}, InvalidInput, "loss_on"),
        ({"training": {"sequence_length": 1}}, InvalidInput, "sequence_length"),
        ({"training": {"learning_rate": float("nan")}}, InvalidInput, "finite"),
        ({"base": None}, InvalidInput, r"recipe\.base is missing"),
        ({"base": "../x"}, InvalidInput, r"recipe\.base names no version"),
        ({"name": "A"}, InvalidInput, "not a model's name"),
        ({"task": "tensors"}, InvalidInput, "for fine-tuning"),
        ({"task": "text-genration"}, UnknownName, "did you mean 'text-generation'"),
        ({"net": "cnn"}, UnknownName, "'net'"),
        ({"preprocessing": {"form": "csv"}}, InvalidInput, "form"),
        ({"evaluation": {"split": "train"}}, InvalidInput, "split"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        parse(**keys)


def test_a_base_or_the_task_makes_it_a_fine_tuning() -> None:
    assert is_finetune(RECIPE)
    assert is_finetune({"base": "x"})
    assert not is_finetune({"task": "text-generation"})
    assert not is_finetune({"task": "tabular-regression"})


def test_a_recipe_without_a_base_trains_from_nothing() -> None:
    recipe = parse_recipe({key: value for key, value in RECIPE.items() if key != "base"})
    assert recipe.net.name == "gpt"
