"""Figures of forecasts, by hand."""

import numpy as np
import pytest

from modelyard.tasks import forecast_metrics


def test_figures_over_known_steps() -> None:
    gap = np.nan
    compared = np.zeros((2, 2, 3))
    compared[..., forecast_metrics.TRUTH] = [[1, 2], [4, gap]]
    compared[..., forecast_metrics.NAIVE] = [[3, 2], [4, 9]]
    compared[..., forecast_metrics.UNIT] = [[2, 2], [4, 4]]
    found = forecast_metrics.figures(np.array([[2, 2], [0, 7]], np.float32), compared)
    assert found.values["mae"] == pytest.approx((1 + 0 + 4) / 3)
    assert found.values["rmse"] == pytest.approx(np.sqrt((1 + 0 + 16) / 3))
    assert found.values["mase"] == pytest.approx((1 / 2 + 0 + 4 / 4) / 3)
    assert found.values["smape"] == pytest.approx(100 * (2 / 3 + 0 + 2) / 3)
    assert found.values["mae_of_seasonal_naive"] == pytest.approx(2 / 3)
    assert found.values["mase_of_seasonal_naive"] == pytest.approx(1 / 3)
    assert found.main == "mase"
    assert found.curves["error_by_step"] == {"x": [1, 2], "y": [pytest.approx(2.5), 0]}


def test_a_forecast_of_nothing_but_zeros_is_right() -> None:
    compared = np.zeros((1, 2, 3))
    compared[..., forecast_metrics.UNIT] = 1
    assert forecast_metrics.figures(np.zeros((1, 2)), compared).values["smape"] == 0
