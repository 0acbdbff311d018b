"""What a report shows of forecasts: pictures beside what came, and the error by step."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from modelyard.tasks import forecast_metrics, forecast_pictures
from modelyard.tasks.contract import Array, Columns, Predict
from modelyard.tasks.forecast_inputs import PreparedHistories
from modelyard.tasks.forecast_metrics import TRUTH
from modelyard.types.report import Exhibit, Picture

_PICTURES: Final = 6
_SHOWN: Final = 4  # horizons of a history that a picture has room for
_STEPS: Final = 12


def exhibits(
    predict: Predict, prepared: PreparedHistories, columns: Columns, compared: Array
) -> Sequence[Exhibit]:
    """Of a few samples (see `forecast_samples`)."""
    arrays = prepared.decode({name: columns[name] for name in ("history", "time")})
    outputs = predict(arrays)
    return (_pictures(prepared, columns, outputs, compared), _by_step(outputs["prediction"], compared))


def _pictures(
    prepared: PreparedHistories, columns: Columns, outputs: Mapping[str, Array], compared: Array
) -> Exhibit:
    chosen = np.unique(np.linspace(0, len(compared) - 1, _PICTURES).round().astype(int))
    shown = min(prepared.length, max(_SHOWN * prepared.horizon, 2 * prepared.season))
    pictures = []
    for row in chosen:
        last = np.asarray(columns["time"][row : row + 1], dtype=np.float64)
        ends = prepared.steps.after(last, np.array([1 - shown, 0, prepared.horizon]))[0]
        said = (prepared.steps.said(ends[0]), prepared.steps.said(ends[1]), prepared.steps.said(ends[2]))
        forecast = np.asarray(outputs["prediction"][row], dtype=np.float64)
        png = forecast_pictures.draw(
            columns["history"][row][-shown:, 0], compared[row, :, TRUTH], forecast, said
        )
        error = forecast_metrics.mase(forecast[None], compared[row : row + 1])
        pictures.append(Picture(png=png, caption=f"from {said[1]} on: MASE {error:.3f}"))
    return Exhibit(
        title="Forecasts beside what came",
        note="Blue is the forecast, yellow what came, dark the history before it. Gaps are missing values.",
        pictures=tuple(pictures),
    )


def _by_step(predictions: Array, compared: Array) -> Exhibit:
    curves = forecast_metrics.curves(np.asarray(predictions, dtype=np.float64), compared)
    steps = np.array(curves["error_by_step"]["x"], dtype=int)
    picked = np.unique(np.linspace(0, len(steps) - 1, min(_STEPS, len(steps))).round().astype(int))
    rows = []
    for k in picked:
        ours, simple = curves["error_by_step"]["y"][k], curves["naive_error_by_step"]["y"][k]
        rows.append((str(steps[k]), f"{ours:.4g}", f"{simple:.4g}", f"{ours / simple:.2f}" if simple else ""))
    return Exhibit(
        title="Error by step",
        note=f"Mean absolute error of {len(compared)} forecasts, evenly spaced, and of the last season repeated.",
        header=("step", "this model", "seasonal naive", "ratio"),
        rows=tuple(rows),
    )
