"""Regular steps of time."""

import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.tasks.time_steps import Steps, check_times, fit_steps, iso


def seconds(*stamps: str) -> np.ndarray:
    return np.array(stamps, "datetime64[s]").astype(np.int64).astype(float)


def test_the_usual_distance_is_the_step() -> None:
    hours = np.arange(50) * 3600.0
    assert fit_steps([np.delete(hours, [7, 8, 20])], True) == Steps(unit="seconds", size=3600)
    assert fit_steps([np.array([1700.0, 1701, 1703, 1704])], False) == Steps(unit="number", size=1)


@pytest.mark.parametrize(("months", "size"), [(1, 1), (3, 3), (12, 12)])
def test_calendar_steps(months: int, size: int) -> None:
    stamps = (np.datetime64("2001-01", "M") + months * np.arange(40)).astype("datetime64[s]")
    assert fit_steps([stamps.astype(np.int64).astype(float)], True) == Steps(unit="months", size=size)


def test_places_and_times_of_the_calendar() -> None:
    steps = Steps(unit="months", size=1)
    ends = seconds("2023-12-31", "2024-01-31", "2024-03-31")
    assert steps.places(ends).tolist() == [0, 1, 3]
    later = steps.after(ends[1:2], np.array([1, 2, 13]))[0]
    assert [iso(time) for time in later] == [
        "2024-02-29T00:00:00Z",
        "2024-03-31T00:00:00Z",
        "2025-02-28T00:00:00Z",
    ]


def test_places_of_hours() -> None:
    steps = Steps(unit="seconds", size=3600)
    assert steps.places(seconds("2024-01-01T05:00", "2024-01-01T08:00")).tolist() == [0, 3]
    assert steps.after(np.array([0.0, np.nan]), np.array([2]))[0].tolist() == [7200.0]
    assert np.isnan(steps.after(np.array([np.nan]), np.array([2]))).all()
    with pytest.raises(InvalidInput, match="not in regular steps; came: 2024-01-01T06:40:00Z, between"):
        steps.places(seconds("2024-01-01T05:00", "2024-01-01T06:40"))
    with pytest.raises(InvalidInput, match="too far apart"):
        steps.places(seconds("2000-01-01", "2024-01-01"))


def test_times_that_no_series_has() -> None:
    check_times("day", np.array([1.0, 2.0]))
    with pytest.raises(InvalidInput, match="a missing time"):
        check_times("day", np.array([1.0, np.nan]))
    with pytest.raises(InvalidInput, match=r"a time twice .*came: 2; .*preprocessing\.series"):
        check_times("day", np.array([1.0, 2.0, 2.0]))
    with pytest.raises(InvalidInput, match="no series has two rows"):
        fit_steps([np.array([1.0])], True)
