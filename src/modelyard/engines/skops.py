"""The skops engine: a scikit-learn estimator in skops' own file format, for what has no ONNX form.

Source: skops.io (https://skops.readthedocs.io, "Secure persistence with skops"). No pickle: a file names the types
that it is made of, and one that skops does not trust by itself is refused.
"""

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.engines.contract import Array, EngineOptions, Tensors
from modelyard.errors import InvalidInput, MissingExtra, NotAllowedFormat
from modelyard.types.tensor import Signature

_METHODS: Final = {
    "probabilities": "predict_proba",
    "label": "predict",
    "prediction": "predict",
    "output": "transform",
}
"""The engine's output -> what the estimator is asked for it."""

TRUSTED: Final = (
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csr.csr_matrix",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""What scikit-learn 1.9's own estimators hold besides the types that skops 0.16 trusts: they keep numbers and
read or
write nothing. Found by dumping every estimator of `sklearn.utils.all_estimators`."""


class SkopsEngine:
    """An estimator that is asked for the tensor its package names."""

    def __init__(self, estimator: Any, tensors: Signature) -> None:
        self._estimator = estimator
        self._tensors = tensors

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        output = self._tensors.outputs[0].name
        try:
            return {
                output: ask(self._estimator, {t.name: inputs[t.name] for t in self._tensors.inputs}, output)
            }
        except (ValueError, TypeError) as error:
            raise InvalidInput("the model cannot run on these values", came=type(error).__name__) from error


def create(path: Path, tensors: Signature, options: EngineOptions) -> SkopsEngine:
    """Open a skops file. Raises NotAllowedFormat for types that are not trusted, InvalidInput, MissingExtra."""
    return SkopsEngine(load_estimator(path), tensors)


def load_estimator(path: Path) -> Any:
    """Raises NotAllowedFormat, InvalidInput, MissingExtra."""
    try:
        import skops.io as skops
    except ImportError as error:
        raise MissingExtra("skops", "sklearn") from error
    try:
        unknown = skops.get_untrusted_types(file=path)
    except Exception as error:  # broken files make it raise whatever it stumbles over
        raise InvalidInput("this is no skops file", came=type(error).__name__) from error
    foreign = sorted(set(map(str, unknown)) - set(TRUSTED))
    if foreign:
        raise NotAllowedFormat("the file is made of types that are not trusted", came=", ".join(foreign[:5]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ: parity finds out
            return skops.load(path, trusted=list(TRUSTED))
    except Exception as error:
        raise InvalidInput("this skops file cannot be opened", came=type(error).__name__) from error


def ask(estimator: Any, inputs: Tensors, output: str) -> Array:
    """The estimator's own answer: `probabilities` and `prediction` float32, `label` int64 or texts.

    One input `features` [rows, features] is asked as a matrix, others [rows, 1] as a data frame with their names.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a matrix without the names that it was fitted with
        answer = getattr(estimator, _METHODS[output])(as_features(inputs))
    dense = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
    if output == "label":
        return _labels(dense)
    return dense.astype(np.float32)


def as_features(inputs: Tensors) -> Any:
    """The matrix `features`, or a data frame of columns whose texts are str."""
    if tuple(inputs) == ("features",):
        # Float64 of the same values: it is what an estimator is fitted with, and some take nothing else.
        return inputs["features"].astype(np.float64)
    import pandas as pd

    return pd.DataFrame({name: _cells(a.reshape(len(a))) for name, a in inputs.items()})


def _cells(column: Array) -> Any:
    return (
        [c.decode() if isinstance(c, bytes) else c for c in column.tolist()]
        if column.dtype == object
        else column
    )


def _labels(answer: Array) -> Array:
    if answer.dtype.kind in "iub":
        return answer.astype(np.int64)
    if answer.dtype.kind == "f":
        return (
            answer.astype(np.int64) if np.array_equal(answer, np.rint(answer)) else answer.astype(np.float32)
        )
    texts = np.empty(answer.shape, object)
    texts.reshape(-1)[:] = [str(c).encode() for c in answer.ravel().tolist()]
    return texts
