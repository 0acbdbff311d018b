"""Exports of trees whose thresholds lie between neighbouring float32 values."""

import warnings

import numpy as np
import pytest

from modelyard.training.sklearn_export import _round_thresholds


def neighbours(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pairs of values with no float32 between them, in columns of their own, and which of the two it is."""
    low = np.random.default_rng(0).uniform(1, 2, count).astype(np.float32)
    pairs = np.stack([low, np.nextafter(low, np.float32(3))])
    which = np.tile([0, 1], 60)
    return pairs[which], which.astype(np.float64)


@pytest.mark.parametrize("column", range(0, 40, 8))
def test_rows_on_either_side_of_a_rounded_threshold(column: int) -> None:
    import onnxruntime
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import HistGradientBoostingRegressor

    x, y = neighbours()
    x = x[:, column : column + 8]
    estimator = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=1, early_stopping=False).fit(x, y)
    expected = estimator.predict(x)
    assert np.unique(expected.round(6)).size == 2
    _round_thresholds(estimator)
    assert np.array_equal(estimator.predict(x), expected)
    with warnings.catch_warnings():  # of onnx, which tells of it where it has not yet
        warnings.simplefilter("ignore", DeprecationWarning)
        graph = skl2onnx.to_onnx(estimator, initial_types=[("rows", FloatTensorType([None, 8]))])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (found,) = session.run(None, {"rows": x})
    assert np.allclose(found[:, 0], expected, atol=1e-6)
