import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.dialects import tensors
from modelyard.dialects.plan import Input
from modelyard.errors import InvalidInput
from modelyard.types.tensor import DATATYPES, TensorSpec

NUMBERS = [name for name in DATATYPES if name != "BYTES"]


def spec(datatype):
    return Input(TensorSpec(name="x", datatype=datatype, shape=(-1,)))


@given(st.sampled_from(NUMBERS), st.binary(min_size=8, max_size=64))
def test_numbers_survive_binary(datatype, data):
    dtype = np.dtype(DATATYPES[datatype])
    if datatype == "BOOL":
        data = bytes(b & 1 for b in data)
    array = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
    found = tensors.from_binary(spec(datatype), [len(array)], memoryview(tensors.to_binary(datatype, array)))
    assert found.dtype == dtype
    assert found.tobytes() == array.tobytes()


@given(st.lists(st.binary(max_size=20), min_size=1))
def test_bytes_survive_binary(values):
    array = np.array([None, *values], object)[1:]
    data = memoryview(tensors.to_binary("BYTES", array))
    assert tensors.from_binary(spec("BYTES"), [len(values)], data).tolist() == values


@pytest.mark.parametrize("datatype", [n for n in NUMBERS if "INT" in n])
def test_integers_in_json_have_the_range_of_their_type(datatype):
    info = np.iinfo(DATATYPES[datatype])
    low, high = int(info.min), int(info.max)
    for checked in (True, False):
        assert tensors.from_json(spec(datatype), [2], [low, high], checked=checked).tolist() == [low, high]
        for value in (low - 1, high + 1):
            with pytest.raises(InvalidInput, match="out of range"):
                tensors.from_json(spec(datatype), [1], [value], checked=checked)


@pytest.mark.parametrize(("datatype", "value"), [("FP16", 1e6), ("FP32", 1e39), ("FP64", 10**309)])
def test_floats_that_overflow_are_refused(datatype, value):
    with pytest.raises(InvalidInput, match="out of range"):
        tensors.from_json(spec(datatype), [1], [value])


def test_text_becomes_bytes_and_booleans_stay():
    assert tensors.from_json(spec("BYTES"), [2], ["é", ""]).tolist() == ["é".encode(), b""]
    assert tensors.from_json(spec("BOOL"), [2], [True, False]).tolist() == [True, False]
    for datatype, value in (("BYTES", 1), ("BOOL", 1), ("BOOL", "true")):
        with pytest.raises(InvalidInput, match="wrong kind"):
            tensors.from_json(spec(datatype), [1], [value])


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        struct.pack("<I", 5) + b"abc",
        struct.pack("<I", 2**32 - 1),
        struct.pack("<I", 1) + b"a" + b"\x00",
        b"",
        struct.pack("<I", 0) * 3,
    ],
)
def test_bad_bytes_lengths_are_refused(data):
    with pytest.raises(InvalidInput):
        tensors.from_binary(spec("BYTES"), [1], memoryview(data))


def test_a_bool_that_is_neither_is_refused():
    with pytest.raises(InvalidInput, match="neither 0 nor 1"):
        tensors.from_binary(spec("BOOL"), [2], memoryview(b"\x01\x02"))
