"""Linear regression: least squares, with an L2 penalty where one is asked for."""

from typing import Annotated, Any, Final

import msgspec

from modelyard.nets.contract import NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn


class LinearRegression(msgspec.Struct, frozen=True, kw_only=True):
    """`alpha`: the penalty on squared weights; 0 is ordinary least squares."""

    alpha: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def build(config: LinearRegression, shape: Shape) -> Any:
    linear = sklearn("linear_model")
    return linear.Ridge(alpha=config.alpha) if config.alpha else linear.LinearRegression()


NET: Final = Net(
    name="linear_regression",
    framework="sklearn",
    tasks=(NUMBERS,),
    config=LinearRegression,
    build=build,
    source="Hastie, Tibshirani and Friedman 2009, Elements of Statistical Learning, sections 3.2 and 3.4.1",
)
