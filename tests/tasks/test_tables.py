import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_values import json_values
from modelyard import tasks
from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks import tables, timestamps
from modelyard.types.dataset import Column, Schema

TASK = tasks.load("tabular-classification")
SCHEMA = Schema(
    columns=(
        Column(name="age", kind="integer"),
        Column(name="height", kind="number"),
        Column(name="member", kind="boolean"),
        Column(name="seen", kind="timestamp"),
        Column(name="colour", kind="category"),
        Column(name="note", kind="text"),
        Column(name="y", kind="category"),
    ),
    label="y",
)
COLUMNS: dict[str, Any] = {
    "age": np.array([20, 30, 40, 50]),
    "height": np.array([1.5, np.nan, 1.7, 2.5]),
    "member": np.array([True, False, True, True]),
    "seen": np.array(["2020-01-01", "2020-06-15T12:00", "NaT", "2021-12-31T23:59"], dtype="datetime64[us]"),
    "colour": np.array(["red", "blue", "red", None], dtype=object),
}
ROW: dict[str, Any] = {
    "age": [30],
    "height": [1.7],
    "member": [True],
    "seen": ["2020-06-15T12:00:00Z"],
    "colour": ["red"],
}


def _fitted(**options: Any) -> dict[str, Any]:
    return TASK.fit(COLUMNS, SCHEMA, options)


def _features(columns: dict[str, Any], **options: Any) -> dict[str, np.ndarray]:
    """Feature name -> its values."""
    fitted = _fitted(**options)
    matrix = TASK.transform(TASK.decode(columns, fitted), fitted)["features"]
    assert matrix.dtype == np.float32
    names = tables.feature_names(fitted)
    assert matrix.shape[1] == len(names) == tables.feature_spec(fitted).shape[1]
    return dict(zip(names, matrix.T, strict=True))


def test_features_are_all_but_target_and_text() -> None:
    assert TASK.check(SCHEMA, "y") == ["age", "height", "member", "seen", "colour"]


def test_only_text_left_is_an_error_that_says_so() -> None:
    schema = Schema(columns=(Column(name="note", kind="text"), Column(name="y", kind="category")))
    with pytest.raises(InvalidInput, match=r"needs a feature column.*note \(text\).*text is not a feature"):
        TASK.check(schema, "y")


def test_numbers_are_imputed_by_the_median_and_scaled() -> None:
    found = _features(COLUMNS)
    filled = np.array([1.5, 1.7, 1.7, 2.5])
    assert found["height"] == pytest.approx((filled - filled.mean()) / filled.std(), abs=1e-6)
    assert found["age"] == pytest.approx((COLUMNS["age"] - 35) / np.std(COLUMNS["age"]), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"impute": "mean", "scale": "none"}, 1.9),
        ({"impute": "constant", "fill_value": 9.0, "scale": "none"}, 9.0),
        ({"scale": "minmax"}, 0.2),
    ],
)
def test_other_ways_to_impute_and_scale(options: dict[str, Any], expected: float) -> None:
    assert _features(COLUMNS, **options)["height"][1] == pytest.approx(expected)


def test_indicators_where_training_had_missing_values() -> None:
    found = _features(COLUMNS, missing_indicators=True)
    assert found["height is missing"].tolist() == [0, 1, 0, 0]
    assert "age is missing" not in found


def test_categories_are_one_hot_with_places_for_missing_and_unseen() -> None:
    columns = {name: np.repeat(values[:1], 4) for name, values in COLUMNS.items()}
    columns["colour"] = np.array(["blue", None, "green", "red"], dtype=object)
    found = _features(columns)
    assert found["colour=red"].tolist() == [0, 0, 0, 1]
    assert found["colour=blue"].tolist() == [1, 0, 0, 0]
    assert found["colour is missing"].tolist() == [0, 1, 0, 0]
    assert found["colour is other"].tolist() == [0, 0, 1, 0]


def test_rare_categories_share_the_place_of_unseen_ones() -> None:
    found = _features(COLUMNS, min_frequency=2)
    assert "colour=blue" not in found
    assert found["colour is other"].tolist() == [0, 1, 0, 0]
    assert "colour=blue" not in _features(COLUMNS, max_categories=1)
    assert "colour=blue" not in _features(COLUMNS, min_frequency=0.3)


def test_timestamps_become_parts() -> None:
    seconds = np.array([[datetime.datetime(2020, 6, 15, 13, tzinfo=datetime.UTC).timestamp()], [np.nan]])
    days = (datetime.date(2020, 6, 15) - datetime.date(1970, 1, 1)).days
    parts = timestamps.parts(seconds)
    assert parts[0].tolist() == [days, 6, 0, 13]  # a Monday
    assert np.isnan(parts[1]).all()


def test_a_row_is_the_same_however_it_comes() -> None:
    fitted = _fitted()
    expected = TASK.transform(TASK.decode(ROW, fitted), fitted)["features"]
    seconds = datetime.datetime(2020, 6, 15, 12, tzinfo=datetime.UTC).timestamp()
    same = [
        {**ROW, "age": ["30"], "height": [" 1.7e0 "], "member": ["true"]},
        {**ROW, "seen": [seconds], "member": [1], "age": [30.0]},
        {**ROW, "seen": ["2020-06-15 14:00:00+02:00"]},
        {
            **ROW,
            "seen": np.array(["2020-06-15T12:00"], dtype="datetime64[s]"),
            "age": np.array([30], np.int8),
        },
        {**ROW, "colour": [b"red"]},
        TASK.sample({"data": ROW}),
        TASK.sample({"table": {name: value[0] for name, value in ROW.items()}}),
        TASK.sample([{name: value[0] for name, value in ROW.items()}]),
    ]
    for columns in same:
        found = TASK.transform(TASK.decode(columns, fitted), fitted)["features"]
        assert np.array_equal(found, expected), columns


def test_arrays_of_the_signature_go_straight_to_transform() -> None:
    fitted = _fitted()
    expected = TASK.transform(TASK.decode(ROW, fitted), fitted)["features"]
    signature = TASK.signature(fitted, ("a", "b"))
    assert {t.name: t.datatype for t in signature.inputs} == {
        "age": "FP64", "height": "FP64", "member": "FP64", "seen": "FP64", "colour": "BYTES",
    }  # fmt: skip
    arrays: dict[str, Any] = {
        "age": np.array([30.0]),
        "height": np.array([1.7]),
        "member": np.array([1.0]),
        "seen": np.array([datetime.datetime(2020, 6, 15, 12, tzinfo=datetime.UTC).timestamp()]),
        "colour": np.array([b"red"], dtype=object),
    }
    assert np.array_equal(TASK.transform(arrays, fitted)["features"], expected)
    for name, bad in [
        ("age", np.array([30.0, 31.0])),
        ("age", np.array([[30.0]])),
        ("age", np.array([np.inf])),
        ("age", np.array([1e300])),
        ("colour", np.array([1.0])),
        ("colour", np.array([[b"red"]], dtype=object)),
        ("colour", np.array([b"red", b"blue"], dtype=object)),
    ]:
        with pytest.raises(InvalidInput):
            TASK.transform({**arrays, name: bad}, fitted)


def test_a_lone_null_is_imputed() -> None:
    found = _features(
        {**ROW, "age": [None], "height": [None], "seen": [None], "member": [None], "colour": [None]}
    )
    assert found["age"][0] == pytest.approx(0)
    assert found["colour is missing"][0] == 1
    assert all(np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": ["old"]}, "column 'age'.*came: old"),
        ({"age": [True]}, "column 'age'.*came: True"),
        ({"age": [float("inf")]}, "infinite"),
        ({"age": ["inf"]}, "column 'age'"),
        ({"age": ["nan"]}, "column 'age'"),
        ({"age": ["1_0"]}, "column 'age'"),
        ({"age": ["1" * 5000]}, "column 'age'"),
        ({"age": [10**5000]}, "too large"),
        ({"age": ["1e999"]}, "infinite"),
        ({"age": [[1]]}, "column 'age'"),
        ({"age": [{}]}, "column 'age'"),
        ({"age": [1e300]}, "infinite or too large"),
        ({"age": []}, "same number of rows"),
        ({"age": [1, 2]}, "same number of rows"),
        ({"age": np.zeros((1, 1))}, "shape"),
        ({"age": np.array([1 + 2j])}, "wrong kind"),
        ({"member": ["maybe"]}, "column 'member'"),
        ({"seen": ["yesterday"]}, "column 'seen'"),
        ({"colour": [["red"]]}, "column 'colour'"),
        ({"colour": ["\ud800"]}, "not Unicode"),
        ({"extra": [1]}, "unknown columns: \\['extra'\\]"),
    ],
)
def test_hostile_cells(change: dict[str, Any], words: str) -> None:
    prepared = TASK.prepare(_fitted())
    with pytest.raises(InvalidInput, match=words):
        prepared.transform(prepared.decode({**ROW, **change}))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"columns are missing: \['age'\]"):
        TASK.decode({name: value for name, value in ROW.items() if name != "age"}, _fitted())


def test_columns_of_the_data_that_are_no_features_may_come_along() -> None:
    fitted = _fitted()
    whole = {**ROW, "note": ["text", "of another length"], "y": [None]}
    assert TASK.decode(whole, fitted).keys() == ROW.keys()
    assert "unused" in fitted
    with pytest.raises(InvalidInput, match="unknown columns"):  # a package that was made before
        TASK.decode(whole, {k: v for k, v in fitted.items() if k != "unused"})


CELL = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)


@given(st.fixed_dictionaries({name: st.lists(CELL, max_size=2) for name in ROW}))
def test_anything_ends_as_features_or_as_invalid_input(columns: dict[str, list[Any]]) -> None:
    prepared = TASK.prepare(FITTED)
    try:
        features = prepared.transform(prepared.decode(columns))["features"]
    except InvalidInput:
        return
    assert features.dtype == np.float32
    assert len(features) == len(columns["age"])
    assert np.isfinite(features).all()


JSON = json_values(CELL, st.text(max_size=4))


@given(JSON)
def test_any_json_is_columns_or_invalid_input(inputs: Any) -> None:
    try:
        columns = TASK.sample(inputs)
        TASK.decode(columns, FITTED)
    except InvalidInput:
        return
    raise AssertionError("random JSON cannot have these columns")


def test_options_are_checked() -> None:
    for options in ({"min_frequency": -1}, {"max_categories": 0}, {"impute": "mode"}, {"scale": 3}):
        with pytest.raises(InvalidInput, match="preprocessing"):
            _fitted(**options)
    with pytest.raises(UnknownName, match="did you mean 'impute'"):
        _fitted(imput="mean")


def test_fit_survives_columns_without_values_and_without_variance() -> None:
    schema = Schema(columns=(Column(name="a", kind="number"), Column(name="b", kind="number")))
    columns = {"a": np.full(3, np.nan), "b": np.full(3, 1e9 + 0.1)}
    fitted = TASK.fit(columns, schema, {})
    features = TASK.transform(TASK.decode(columns, fitted), fitted)["features"]
    assert np.abs(features).max() < 1e-3
    with pytest.raises(InvalidInput, match="infinite"):
        TASK.fit({"a": np.array([np.inf]), "b": np.array([1.0])}, schema, {})


FITTED = _fitted()
