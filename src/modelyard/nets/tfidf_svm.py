"""Linear support vector machine on TF-IDF, with probabilities."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np

from modelyard.nets.contract import TEXTS, Net, Shape
from modelyard.nets.estimators import sklearn

if TYPE_CHECKING:
    from torch import nn

_FOLDS: Final = 5


class TfidfSvm(msgspec.Struct, frozen=True, kw_only=True):
    """`c`: the inverse of the penalty's strength; `word_groups`: the longest group of neighbouring tokens that is
    a term, of which `buckets` are told apart by a hash; `min_texts`: of fewer texts a term weighs nothing."""

    c: Annotated[float, msgspec.Meta(gt=0)] = 0.2
    word_groups: Annotated[int, msgspec.Meta(ge=1, le=5)] = 2
    buckets: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 500_000
    min_texts: Annotated[int, msgspec.Meta(ge=1)] = 2


def build(config: TfidfSvm, shape: Shape) -> "nn.Module":
    """One class against the rest. Decision values of held-out folds become probabilities by a logistic regression
    (Platt 1999, of several classes), which is linear too and goes into the same weights."""
    from modelyard.nets import tfidf

    def solver(terms: Any, targets: Any) -> tuple[Any, Any]:
        seen = tfidf.seen_classes(targets)
        machine = sklearn("svm").LinearSVC(C=config.c, random_state=0)
        folds = min(_FOLDS, int(np.bincount(targets)[seen].min()))
        held_out = None
        if folds > 1:
            selection = sklearn("model_selection")
            # Mixed: rows that stand together are often on one thing, and a fold of them would be on another.
            parts = selection.StratifiedKFold(folds, shuffle=True, random_state=0)
            held_out = selection.cross_val_predict(
                machine, terms, targets, cv=parts, method="decision_function"
            )
        machine.fit(terms, targets)
        values = machine.decision_function(terms) if held_out is None else held_out
        scale = sklearn("linear_model").LogisticRegression(max_iter=1000)
        scale.fit(values.reshape(len(targets), -1), targets)
        weights = machine.coef_.T @ scale.coef_.T
        biases = machine.intercept_ @ scale.coef_.T + scale.intercept_
        return tfidf.of_all(weights, biases, seen, shape.values)

    return tfidf.Tfidf(shape, config.word_groups, config.buckets, config.min_texts, solver)


NET: Final = Net(
    name="tfidf_svm",
    framework="closed-form",
    tasks=(TEXTS,),
    config=TfidfSvm,
    build=build,
    source="Joachims 1998, Text categorization with support vector machines; Platt 1999",
)
