"""Gradient boosting: small trees, each fitted to what the sum of the earlier ones gets wrong."""

from typing import Annotated, Any, Final

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn


class GradientBoosting(msgspec.Struct, frozen=True, kw_only=True):
    """`trees`: rounds of boosting; `learning_rate`: the share of a tree that is added; `subsample`: the
    share of the rows that a tree sees; `max_features`: the share of the features that a split looks at, None
    for all, or for images the square root of their number."""

    trees: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 150
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=32)] = 3
    subsample: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8
    max_features: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


def build(config: GradientBoosting, shape: Shape) -> Any:
    ensemble = sklearn("ensemble")
    regression = shape.classes is None
    return (ensemble.GradientBoostingRegressor if regression else ensemble.GradientBoostingClassifier)(
        n_estimators=config.trees,
        learning_rate=config.learning_rate,
        max_depth=config.max_depth,
        subsample=config.subsample,
        max_features=config.max_features or ("sqrt" if shape.is_image else None),
        warm_start=True,
    )


NET: Final = Net(
    name="gradient_boosting",
    framework="sklearn",
    tasks=(CLASSES, NUMBERS, IMAGES),
    config=GradientBoosting,
    build=build,
    source="Friedman 2001, Greedy function approximation; Friedman 2002, Stochastic gradient boosting",
)
