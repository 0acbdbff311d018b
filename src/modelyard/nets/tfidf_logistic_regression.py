"""Logistic regression on TF-IDF: the first baseline of texts."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from modelyard.nets.contract import TEXTS, Net, Shape
from modelyard.nets.estimators import sklearn

if TYPE_CHECKING:
    from torch import nn


class TfidfLogisticRegression(msgspec.Struct, frozen=True, kw_only=True):
    """`c`: the inverse of the L2 penalty's strength; `word_groups`: the longest group of neighbouring tokens that
    is a term, of which `buckets` are told apart by a hash; `min_texts`: of fewer texts a term weighs nothing;
    `max_iterations`: of the solver (L-BFGS)."""

    c: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    word_groups: Annotated[int, msgspec.Meta(ge=1, le=5)] = 2
    buckets: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 500_000
    min_texts: Annotated[int, msgspec.Meta(ge=1)] = 2
    max_iterations: Annotated[int, msgspec.Meta(ge=1)] = 1000


def build(config: TfidfLogisticRegression, shape: Shape) -> "nn.Module":
    from modelyard.nets import tfidf

    def solver(terms: Any, targets: Any) -> tuple[Any, Any]:
        seen = tfidf.seen_classes(targets)
        model = sklearn("linear_model").LogisticRegression(C=config.c, max_iter=config.max_iterations)
        model.fit(terms, targets)
        return tfidf.of_all(model.coef_.T, model.intercept_, seen, shape.values)

    return tfidf.Tfidf(shape, config.word_groups, config.buckets, config.min_texts, solver)


NET: Final = Net(
    name="tfidf_logistic_regression",
    framework="closed-form",
    tasks=(TEXTS,),
    config=TfidfLogisticRegression,
    build=build,
    source="Salton and Buckley 1988, Term-weighting approaches in automatic text retrieval; Hastie,"
    " Tibshirani and Friedman 2009, section 4.4",
)
