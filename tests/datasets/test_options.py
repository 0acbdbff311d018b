"""Options: unknown keys and values are told from known ones."""

import pytest

from modelyard.datasets import IngestOptions, read_options
from modelyard.errors import InvalidInput, UnknownName


def test_options_are_read():
    options = read_options(
        {"builtin": "digits", "seed": 3, "fractions": {"train": 0.5, "test": 0.5}, "drop": ["a"]}
    )
    assert options == IngestOptions(
        builtin="digits", seed=3, fractions={"train": 0.5, "test": 0.5}, drop=("a",)
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"lable": "a"}, "unknown option 'lable'; did you mean 'label'"),
        ({"builtin": "minst"}, "unknown built-in data set 'minst'"),
        ({"format": "cvs"}, "unknown format 'cvs'; did you mean 'csv'"),
        ({"columns": {"a": "numbr"}}, "unknown kind 'numbr' in column 'a'; did you mean 'number'"),
        ({"fractions": {"training": 1.0}}, "unknown split 'training' in fractions; did you mean 'train'"),
    ],
)
def test_unknown_names(data, message):
    with pytest.raises(UnknownName, match=message):
        read_options(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"seed": "a"}, "Expected `int`"),
        ({"seed": -1}, "seed of the split; came: -1"),
        ({"fractions": {"train": 0.5}}, "do not add up to 1; came: 0.5"),
        ({"fractions": {"test": 1.0}}, "leave train without rows"),
        ({"fractions": {"train": 1.5, "test": -0.5}}, "fraction of test; came: -0.5"),
        ({"fractions": {"train": float("nan")}}, "fraction of train; came: nan"),
        ({"label": "a", "drop": ["a"]}, "among the columns to drop"),
    ],
)
def test_values_that_no_data_could_satisfy(data, message):
    with pytest.raises(InvalidInput, match=message):
        read_options(data)
