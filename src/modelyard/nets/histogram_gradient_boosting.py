"""Gradient boosting on histograms: features are sorted into bins once, so that many larger trees are soon grown."""

from typing import Annotated, Any, Final

import msgspec

from modelyard.nets.contract import CLASSES, NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn


class HistogramGradientBoosting(msgspec.Struct, frozen=True, kw_only=True):
    """`trees`: rounds of boosting; `learning_rate`: the share of a tree that is added; `leaves`: of a tree at most;
    `min_leaf`: rows of a leaf; `l2`: the penalty on leaves' values; `max_features`: the share of the features that
    a split looks at."""

    trees: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 300
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    leaves: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 15
    min_leaf: Annotated[int, msgspec.Meta(ge=1)] = 10
    l2: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    max_features: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5


def build(config: HistogramGradientBoosting, shape: Shape) -> Any:
    """Rows are not held out for early stopping, as a recipe's own splits are what is measured by."""
    ensemble = sklearn("ensemble")
    create = (
        ensemble.HistGradientBoostingRegressor
        if shape.classes is None
        else ensemble.HistGradientBoostingClassifier
    )
    return create(
        max_iter=config.trees,
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.min_leaf,
        l2_regularization=config.l2,
        max_features=config.max_features,
        early_stopping=False,
    )


NET: Final = Net(
    name="histogram_gradient_boosting",
    framework="sklearn",
    tasks=(CLASSES, NUMBERS),
    config=HistogramGradientBoosting,
    build=build,
    source="Ke et al. 2017, LightGBM; Friedman 2001, Greedy function approximation",
)
