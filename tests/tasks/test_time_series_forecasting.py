"""Forecasts: what callers send, what they get, and what is refused."""

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, TooLarge, UnknownName
from modelyard.tasks import forecast_metrics
from modelyard.types.dataset import SPLIT_COLUMN, Column, Schema

TASK = tasks.load("time-series-forecasting")
DAYS = np.datetime64("2024-01-01") + np.arange(60)
OPTIONS = {"horizon": 3, "history": 6, "season": 2}


def schema(*extra: Column, target: str = "y") -> Schema:
    own = (Column(name="day", kind="timestamp"), Column(name="y", kind="number"))
    return Schema(columns=(*own, *extra), label=target)


def columns(rows: int = 60) -> dict[str, np.ndarray]:
    return {"day": DAYS[:rows].astype("datetime64[us]"), "y": np.arange(rows) % 2 + np.arange(rows) / 10}


def fitted(**options: object) -> dict[str, object]:
    return TASK.fit(columns(40), schema(), OPTIONS | options) | {"target": "y"}


def prepared(**options: object):
    return TASK.prepare(fitted(**options))


def test_the_only_times_are_taken_and_steps_are_found() -> None:
    found = fitted()
    assert (found["time"], found["channels"], found["series"]) == ("day", ["y"], None)
    assert found["steps"] == {"unit": "seconds", "size": 86_400}
    assert found["errors"][""] == pytest.approx(0.2)
    assert TASK.features(found) == ["day"]
    assert fitted(horizon=4, history=None)["history"] == 12


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"time": "dya"}, "unknown column 'dya'"),
        ({"time": "y"}, "needs a column of times or of order; came: y .number., the target"),
        ({"series": "shop"}, "unknown column 'shop'"),
        ({"covariates": ["y"]}, "names a column twice"),
        ({"covariates": ["kind"]}, "covariate 'kind' is no column of numbers; came: category"),
        ({"history": 3, "season": 7}, "shorter than a season"),
        ({"horizon": 0}, "horizon"),
        ({"horizont": 2}, "did you mean 'horizon'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], error: str) -> None:
    rows = columns(40) | {"kind": np.array(["a"] * 40, object)}
    with pytest.raises(InvalidInput, match=error):
        TASK.fit(rows, schema(Column(name="kind", kind="category")), OPTIONS | options)


def test_targets_are_numbers() -> None:
    assert TASK.check(schema(), "y") == ["day"]
    with pytest.raises(InvalidInput, match="no such target"):
        TASK.check(schema(), "z")
    with pytest.raises(InvalidInput, match="target of numbers"):
        TASK.check(schema(), "day")


def test_samples_of_a_split_reach_back_into_the_one_before() -> None:
    splits = np.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10, object)
    found, compared = TASK.samples(columns() | {SPLIT_COLUMN: splits}, "test", fitted())
    assert found["history"].shape == (8, 6, 1)
    assert compared.shape == (8, 3, 3)
    assert found["history"][0, :, 0].tolist() == columns()["y"][44:50].tolist()
    assert compared[0, :, forecast_metrics.TRUTH].tolist() == columns()["y"][50:53].tolist()
    assert compared[0, :, forecast_metrics.NAIVE].tolist() == columns()["y"][[48, 49, 48]].tolist()
    assert found["time"][0] == DAYS[49].astype("datetime64[s]").astype(int)
    every, _ = TASK.samples(columns() | {SPLIT_COLUMN: splits}, "train", fitted())
    some, _ = TASK.samples(columns() | {SPLIT_COLUMN: splits}, "train", fitted(stride=4))
    assert (len(every["history"]), len(some["history"])) == (32, 8)


def test_several_series_are_apart() -> None:
    shops = np.repeat(np.array(["a", "b"], object), 40)
    rows = {"day": np.tile(columns(40)["day"], 2), "y": np.tile(columns(40)["y"], 2), "shop": shops}
    rows["y"][40:] *= 100
    given = schema(Column(name="shop", kind="category"))
    with pytest.raises(InvalidInput, match="a time twice"):
        TASK.fit(rows, given, OPTIONS)
    found = TASK.fit(rows, given, OPTIONS | {"series": "shop"})
    assert found["errors"]["b"] == pytest.approx(100 * found["errors"]["a"])
    splits = np.array(["train"] * 80, object)
    histories, compared = TASK.samples(rows | {SPLIT_COLUMN: splits}, "train", found)
    assert len(histories["history"]) == 2 * 32
    assert compared[0, 0, forecast_metrics.UNIT] == pytest.approx(0.2)
    assert compared[-1, 0, forecast_metrics.UNIT] == pytest.approx(20)


VALUES = [1.0, 2, 3, 4, 5, 6, 7]
STAMPS = [str(day) for day in DAYS[:7]]
ROWS = [{"day": day, "y": value} for day, value in zip(STAMPS, VALUES, strict=True)]


@pytest.mark.parametrize(
    ("inputs", "dated"),
    [
        (VALUES, False),
        ({"history": VALUES}, False),
        ({"data": {"y": VALUES}}, False),
        (ROWS, True),
        (list(reversed(ROWS)), True),
        ({"day": STAMPS, "y": VALUES}, True),
        ([{"day": STAMPS, "y": VALUES}], True),
        ([{"history": ROWS}], True),
    ],
)
def test_the_same_history_in_many_forms(inputs: object, dated: bool) -> None:
    ready = prepared()
    arrays = ready.decode(TASK.sample(inputs))
    assert arrays["history"][0, :, 0].tolist() == VALUES[1:]  # what it looks back at
    assert ready.transform(arrays)["history"].dtype == np.float32
    times = ready.complete(arrays, {"prediction": np.zeros((1, 3), np.float32)})["timestamp"]
    last = DAYS[6].astype("datetime64[s]").astype(int)
    assert np.isfinite(times).all() == dated
    assert not dated or times[0].tolist() == [last + 86_400 * step for step in (1, 2, 3)]


def test_one_history_or_several() -> None:
    assert TASK.is_single(VALUES)
    assert TASK.is_single(ROWS)
    assert TASK.is_single({"data": {"y": VALUES}})
    assert not TASK.is_single([VALUES, VALUES])
    assert not TASK.is_single([ROWS])
    assert not TASK.is_single({"history": [VALUES]})
    several = prepared().decode(TASK.sample([VALUES, [1, None, 3]]))
    assert several["history"].shape == (2, 6, 1)
    assert np.isnan(several["history"][1, :4, 0]).sum() == 3


def test_missing_values_and_short_histories_are_filled() -> None:
    ready = prepared()
    found = ready.transform(ready.decode(TASK.sample([None, 2, None, 4])))["history"][0, :, 0]
    assert found.tolist() == [3, 2, 3, 2, 3, 4]  # the first season of 2, 3, 4 again before it
    gap = [row for row in ROWS if row["day"] != STAMPS[3]]
    assert ready.transform(ready.decode(TASK.sample(gap)))["history"][0, :, 0].tolist() == VALUES[1:]


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ("soon", "inputs are not a history; came: str"),
        ([], "inputs are not a history"),
        ([1.0], "too short.*1 known values over 1 steps; allowed: 2 steps or more"),
        ([None, None, None], "too short"),
        ([1, None, None, None, None, 2], "misses too much"),
        ([1, 2, "three"], "a value of a wrong kind; came: three"),
        ([1, 2, 1e39], "infinite values, or too large ones"),
        ({"x": [1, 2, 3]}, r"columns are missing: \['y'\]"),
        ({"y": [1, 2, 3], "x": [1, 2, 3]}, r"unknown columns: \['x'\]"),
        ({"y": [1, 2, 3], "day": STAMPS[:2]}, "the same number of rows"),
        ({"y": [1, 2, 3], "day": [STAMPS[0]] * 3}, "a time twice"),
        ({"y": [1, 2, 3], "day": ["2024-01-01", "2024-01-02", "2024-01-03T12:00"]}, "regular steps"),
        ([{"y": 1}, {"x": 2}], "row 1 has other columns than row 0"),
        ({"y": 3}, "lists of values"),
        ([[1, 2], "a"], "a value of a wrong kind"),
    ],
)
def test_bad_histories_are_explained(inputs: object, error: str) -> None:
    ready = prepared()
    with pytest.raises(InvalidInput, match=error):
        ready.transform(ready.decode(TASK.sample(inputs)))


def test_too_many_values_are_refused() -> None:
    with pytest.raises(TooLarge, match="1,000,000 values"):
        TASK.sample([0.0] * 1_000_001)


def test_arrays_that_did_not_come_from_decode() -> None:
    ready = prepared()
    with pytest.raises(InvalidInput, match="other inputs are needed"):
        ready.transform({"history": np.zeros((1, 6, 1))})
    with pytest.raises(InvalidInput, match="a wrong shape"):
        ready.transform({"history": np.zeros((1, 6, 2)), "time": np.zeros(1)})


def test_answers_are_steps_with_their_times() -> None:
    outputs = {
        "prediction": np.array([[1.5, 2.5], [3.5, 4.5]], np.float32),
        "timestamp": np.array([[0.0, 86_400.0], [np.nan, np.nan]]),
    }
    assert TASK.encode(outputs, (), {}) == [
        [
            {"timestamp": "1970-01-01T00:00:00Z", "value": 1.5},
            {"timestamp": "1970-01-02T00:00:00Z", "value": 2.5},
        ],
        [{"value": 3.5}, {"value": 4.5}],
    ]
    assert TASK.encode({"prediction": outputs["prediction"]}, (), {"horizon": 1}) == [
        [{"value": 1.5}],
        [{"value": 3.5}],
    ]
    ordered = {"prediction": outputs["prediction"][:1], "order": np.array([[2009.0, 2010.0]])}
    assert TASK.encode(ordered, (), {"horizon": 1}) == [[{"order": 2009.0, "value": 1.5}]]


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"horizon": 3}, "beyond what was trained; came: 3; allowed: 1 to 2"),
        ({"horizon": 0}, "horizon"),
        ({"steps": 1}, "unknown key 'steps'"),
    ],
)
def test_parameters(parameters: dict[str, object], error: str) -> None:
    with pytest.raises((InvalidInput, UnknownName), match=error):
        TASK.encode({"prediction": np.zeros((1, 2), np.float32)}, (), parameters)


def test_covariates_need_their_columns() -> None:
    rows = columns(40) | {"x": np.arange(40.0)}
    found = TASK.fit(rows, schema(Column(name="x", kind="number")), OPTIONS | {"covariates": ["x"]})
    ready = TASK.prepare(found)
    assert TASK.features(found) == ["day", "x"]
    with pytest.raises(InvalidInput, match="needs a column of each"):
        ready.decode(TASK.sample(VALUES))
    arrays = ready.decode(TASK.sample({"y": VALUES, "x": [None] * 7}))
    assert ready.transform(arrays)["history"][0, :, 1].tolist() == [19.5] * 6
