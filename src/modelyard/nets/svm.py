"""Support vector machine, with probabilities by Platt scaling, or support vector regression."""

from typing import Annotated, Any, Final, Literal

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, NUMBERS, Net, Shape
from modelyard.nets.estimators import sklearn


class Svm(msgspec.Struct, frozen=True, kw_only=True):
    """`c`: the inverse of the penalty's strength; `gamma`: the kernel's, a number or "scale" (1 / (features x
    variance)); `epsilon`: half the width of the tube that costs a regression nothing, in deviations of the
    target."""

    kernel: Literal["rbf", "linear", "poly", "sigmoid"] = "rbf"
    c: Annotated[float, msgspec.Meta(gt=0)] = 3.0
    gamma: Annotated[float, msgspec.Meta(gt=0)] | Literal["scale"] = "scale"
    degree: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    epsilon: Annotated[float, msgspec.Meta(ge=0)] = 0.1


def build(config: Svm, shape: Shape) -> Any:
    """The classifier is calibrated on decision values of held-out folds (Platt 1999) and then fitted on all
    rows."""
    svm = sklearn("svm")
    kernel = {"kernel": config.kernel, "C": config.c, "gamma": config.gamma, "degree": config.degree}
    if shape.classes is None:
        return svm.SVR(epsilon=config.epsilon, **kernel)
    machine = svm.SVC(decision_function_shape="ovr", **kernel)
    return sklearn("calibration").CalibratedClassifierCV(machine, ensemble=False, cv=5)


NET: Final = Net(
    name="svm",
    framework="sklearn",
    tasks=(CLASSES, IMAGES, NUMBERS),
    config=Svm,
    build=build,
    source="Cortes and Vapnik 1995, Support-vector networks; Platt 1999; Drucker et al. 1997 for regression",
)
