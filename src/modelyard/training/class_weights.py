"""What an error on a row of each class counts."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, UnknownName

ClassWeights = Literal["balanced"] | dict[str, float]


def class_weights(
    given: ClassWeights, targets: npt.NDArray[np.int64], classes: int, labels: Sequence[str]
) -> npt.NDArray[np.float32]:
    """float32 [classes].

    "balanced": rows / (classes * rows of the class), so that each class counts the same in all, and a row 1 in the
    mean (King and Zeng 2001, Logistic regression in rare events data). Of a mapping, 1 for what it leaves out.
    Raises UnknownName for no label of the data, InvalidInput for what is not above 0.
    """
    if given == "balanced":
        rows = np.bincount(targets, minlength=classes)
        there = rows > 0
        return np.where(there, len(targets) / (there.sum() * np.maximum(rows, 1)), 1).astype(np.float32)
    found = np.ones(classes, np.float32)
    for label, weight in _named(given).items():
        if label not in labels:
            raise UnknownName("label", label, labels, where="recipe.training.class_weights")
        if weight <= 0:
            raise InvalidInput(f"recipe.training.class_weights.{label} must be above 0", came=weight)
        found[list(labels).index(label)] = weight
    return found


def _named(given: ClassWeights) -> Mapping[str, float]:
    assert not isinstance(given, str)
    return given
