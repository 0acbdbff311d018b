"""Figures of forecasts, over all steps whose true value is known."""

from typing import Final

import numpy as np
import numpy.typing as npt

from modelyard.types.report import Metrics

Floats = npt.NDArray[np.float64]
TRUTH, NAIVE, UNIT = 0, 1, 2
"""The last axis of what forecasts are compared with, [rows, horizon, 3]: the true value (NaN where it is not
known), the seasonal-naive forecast, and the series' seasonal-naive error in training."""
MAIN: Final = "mase"


def mase(predictions: npt.NDArray[np.floating], compared: Floats) -> float:
    """Mean absolute scaled error (Hyndman and Koehler 2006, Another look at measures of forecast accuracy): 1
    is the seasonal-naive forecast's error in training. Both [rows, horizon, ...]."""
    return _mean(np.abs(predictions - compared[..., TRUTH]) / compared[..., UNIT])


def figures(predictions: npt.NDArray[np.floating], compared: Floats) -> Metrics:
    """MASE, MAE and RMSE in the target's unit, sMAPE in percent (Makridakis 1993; 0 to 200), and MASE of the
    seasonal-naive forecast of the same windows; MAE by step as a curve."""
    y = np.asarray(predictions, dtype=np.float64)
    truth, simple = compared[..., TRUTH], compared[..., NAIVE]
    error = y - truth
    size = np.abs(y) + np.abs(truth)
    values = {
        MAIN: mase(y, compared),
        "mae": _mean(np.abs(error)),
        "rmse": float(np.sqrt(_mean(error**2))),
        "smape": 100 * _mean(2 * np.abs(error) / np.where(size > 0, size, 1)),
        "mase_of_seasonal_naive": mase(simple, compared),
        "mae_of_seasonal_naive": _mean(np.abs(simple - truth)),
    }
    return Metrics(main=MAIN, higher_is_better=False, values=values, curves=curves(y, compared))


def curves(predictions: Floats, compared: Floats) -> dict[str, dict[str, list[float]]]:
    """Mean absolute error by step, of the model and of the seasonal-naive forecast; steps without a known truth
    are left out."""
    steps = np.flatnonzero((~np.isnan(compared[..., TRUTH])).any(axis=0))
    truth = compared[:, steps, TRUTH]
    named = {"error_by_step": predictions[:, steps], "naive_error_by_step": compared[:, steps, NAIVE]}
    x = (steps + 1.0).tolist()
    return {
        name: {"x": x, "y": np.nanmean(np.abs(found - truth), axis=0).tolist()}
        for name, found in named.items()
    }


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0
