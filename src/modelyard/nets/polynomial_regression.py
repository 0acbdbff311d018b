"""Polynomial regression: products of features up to a degree, then ridge regression."""

import math
from typing import Annotated, Any, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn

_MOST_TERMS: Final = 20_000


class PolynomialRegression(msgspec.Struct, frozen=True, kw_only=True):
    """`degree`: of the products; `interactions_only`: no powers of one feature; `alpha`: the penalty on
    squared weights."""

    degree: Annotated[int, msgspec.Meta(ge=1, le=8)] = 2
    interactions_only: bool = False
    alpha: Annotated[float, msgspec.Meta(ge=0)] = 10.0


def build(config: PolynomialRegression, shape: Shape) -> Any:
    """Raises InvalidInput where the degree makes more than 20,000 terms of the features."""
    polynomial = sklearn("preprocessing").PolynomialFeatures(
        config.degree, interaction_only=config.interactions_only, include_bias=False
    )
    terms = _terms(config, shape.width)
    if terms > _MOST_TERMS:
        came = f"degree {config.degree} of {shape.width} features: {terms} terms"
        raise InvalidInput("net.degree makes too many terms", came=came, allowed=f"at most {_MOST_TERMS}")
    ridge = sklearn("linear_model").Ridge(alpha=config.alpha)
    return sklearn("pipeline").Pipeline([("polynomial", polynomial), ("ridge", ridge)])


def _terms(config: PolynomialRegression, features: int) -> int:
    if config.interactions_only:
        return sum(math.comb(features, k) for k in range(1, config.degree + 1))
    return math.comb(features + config.degree, config.degree) - 1


NET: Final = Net(
    name="polynomial_regression",
    framework="sklearn",
    tasks=(NUMBERS,),
    config=PolynomialRegression,
    build=build,
    source="Hastie, Tibshirani and Friedman 2009, Elements of Statistical Learning, sections 3.4.1 and 5.1",
)
