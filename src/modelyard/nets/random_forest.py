"""Random forest: trees on bootstrap samples, each split among a random part of the features."""

from typing import Annotated, Any, Final

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn


class RandomForest(msgspec.Struct, frozen=True, kw_only=True):
    """`max_depth`: None is without a limit; `min_leaf`: rows of a leaf; `max_features`: the share of the
    features that a split looks at, None for the square root of their number (a third for regression)."""

    trees: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    max_depth: Annotated[int, msgspec.Meta(ge=1)] | None = None
    min_leaf: Annotated[int, msgspec.Meta(ge=1)] = 1
    max_features: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


def build(config: RandomForest, shape: Shape) -> Any:
    ensemble = sklearn("ensemble")
    regression = shape.classes is None
    return (ensemble.RandomForestRegressor if regression else ensemble.RandomForestClassifier)(
        n_estimators=config.trees,
        max_depth=config.max_depth,
        min_samples_leaf=config.min_leaf,
        max_features=config.max_features or (1 / 3 if regression else "sqrt"),
        warm_start=True,
    )


NET: Final = Net(
    name="random_forest",
    framework="sklearn",
    tasks=(CLASSES, NUMBERS, IMAGES),
    config=RandomForest,
    build=build,
    source="Breiman 2001, Random Forests",
)
