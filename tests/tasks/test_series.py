"""Series on their steps, and windows of them."""

import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.tasks import series
from modelyard.tasks.time_steps import Steps

STEPS = Steps(unit="number", size=1)


def laid(values: list[float], splits: list[int], times: list[float] | None = None) -> series.Series:
    found = np.arange(len(values), dtype=float) if times is None else np.array(times)
    return series.laid_out("a", STEPS, found, np.array(values)[:, None], np.array(splits, np.int8))


def test_rows_are_told_apart_by_their_series() -> None:
    columns = {"shop": np.array(["Zürich", None, "a", "Zürich", "a"], object)}
    found = {name: rows.tolist() for name, rows in series.rows_by_series(columns, "shop", 5)}
    assert found == {"Zürich": [0, 3], "": [1], "a": [2, 4]}
    assert list(found) == ["Zürich", "", "a"]
    assert [rows.tolist() for _, rows in series.rows_by_series({}, None, 2)] == [[0, 1]]


def test_rows_that_are_missing_leave_gaps() -> None:
    one = laid([5, 6, 7], [0, 0, 2], [10, 11, 14])
    assert np.array_equal(one.values[:, 0], [5, 6, np.nan, np.nan, 7], equal_nan=True)
    assert one.times.tolist() == [10, 11, 12, 13, 14]
    assert one.splits.tolist() == [0, 0, -1, -1, 2]


def test_windows_foretell_their_own_split_alone() -> None:
    one = laid([float(x) for x in range(12)], [0] * 6 + [1] * 3 + [2] * 3)
    assert series.windows(one, 0, 2, 2).tolist() == [2, 3, 4]
    assert series.windows(one, 1, 2, 2).tolist() == [6, 7]
    assert series.windows(one, 2, 2, 3).tolist() == [9]
    assert len(series.windows(one, 2, 2, 4)) == 0


def test_windows_without_a_known_value_are_left_out() -> None:
    gap = float("nan")
    one = laid([1, 2, gap, gap, gap, 4, 5, 6], [0] * 8)
    assert series.windows(one, 0, 2, 1).tolist() == [6, 7]  # half of what lies before must be known


def test_splits_out_of_order_are_refused() -> None:
    series.check_order(laid([1, 2, 3], [0, 1, 2]))
    with pytest.raises(InvalidInput, match=r"trained on its future.*--order-by"):
        series.check_order(laid([1, 2, 3], [0, 2, 0]))
    with pytest.raises(InvalidInput, match="rows of test before the end of the one before it"):
        series.check_order(laid([1, 2, 3, 4], [0, 2, 1, 2]))


def test_missing_values_lie_on_the_line_between_known_ones() -> None:
    gap = np.nan
    history = np.array([[gap, gap], [1.0, gap], [gap, gap], [3.0, gap], [gap, gap]])
    found = series.filled(history, np.array([9.0, 7.0]))
    assert found.tolist() == [[1, 7], [1, 7], [2, 7], [3, 7], [3, 7]]


def test_a_short_history_begins_with_its_first_season_again() -> None:
    history = np.arange(5.0)[:, None]
    assert series.extended(history, 10, 3)[:, 0].tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 3, 4]
    assert series.extended(history, 3, 3)[:, 0].tolist() == [2, 3, 4]


def test_the_seasonal_naive_forecast_and_its_error() -> None:
    values = np.array([1.0, 5, 9, 2, 6, 10])
    assert series.naive(values, 4, 3).tolist() == [2, 6, 10, 2]
    assert series.naive_error(values, 3) == 1
    assert np.isnan(series.naive_error(values, 6))
