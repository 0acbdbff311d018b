"""Training: a recipe and a data set into a package. Names load when they are asked for: checking a recipe
needs no training framework, and importing this room costs little."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.training.package_training import FRAMEWORKS, TrainResult, train
    from modelyard.training.recipe import Recipe, parse_recipe

__all__ = ["FRAMEWORKS", "Recipe", "TrainResult", "parse_recipe", "train"]

_HOMES = {
    "FRAMEWORKS": "package_training",
    "Recipe": "recipe",
    "TrainResult": "package_training",
    "parse_recipe": "recipe",
    "train": "package_training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
