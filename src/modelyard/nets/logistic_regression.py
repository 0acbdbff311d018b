"""Logistic regression: linear in the features, one softmax over the classes."""

from typing import Annotated, Any, Final

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, Net, Shape
from modelyard.nets.estimators import sklearn


class LogisticRegression(msgspec.Struct, frozen=True, kw_only=True):
    """`c`: the inverse of the L2 penalty's strength; `max_iterations`: of the solver (L-BFGS)."""

    c: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    max_iterations: Annotated[int, msgspec.Meta(ge=1)] = 1000


def build(config: LogisticRegression, shape: Shape) -> Any:
    return sklearn("linear_model").LogisticRegression(C=config.c, max_iter=config.max_iterations)


NET: Final = Net(
    name="logistic_regression",
    framework="sklearn",
    tasks=(CLASSES, IMAGES),
    config=LogisticRegression,
    build=build,
    source="Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, section 4.4",
)
