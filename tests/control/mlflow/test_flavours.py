"""What MLmodel files of the stock client say, and what hostile ones cannot do."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.mlflow.flavours import Importable, Refused, read
from modelyard.types.package import FileEntry

ENTRY = FileEntry(sha256="0" * 64, size=1)
COLUMNS = [{"type": "double", "name": "a", "required": True}]


def look(flavours, *files, signature=None):
    said = {"flavors": flavours, **({} if signature is None else {"signature": signature})}
    return read(yaml.safe_dump(said).encode(), dict.fromkeys(("MLmodel", *files), ENTRY))


@pytest.mark.parametrize(
    ("flavours", "files", "found"),
    [
        ({"sklearn": {"pickled_model": "model.skops", "serialization_format": "skops"}, "python_function": {}},
         ["model.skops"], ("skops", "model.skops")),
        ({"keras": {"data": "data"}}, ["data/model.keras", "data/x.txt"], ("keras", "data/model.keras")),
        ({"tensorflow": {"data": "data"}}, ["data/model.keras"], ("keras", "data/model.keras")),
        ({"tensorflow": {"saved_model_dir": "tfmodel"}}, ["tfmodel/saved_model.pb"], ("savedmodel", "tfmodel")),
        ({"pytorch": {"model_data": "data"}}, ["data/model.pt2"], ("pt2", "data/model.pt2")),
        ({"onnx": {"data": "model.onnx"}}, ["model.onnx"], ("onnx", "model.onnx")),
        ({"onnx": {"data": "model.onnx"}, "sklearn": {"pickled_model": "m.pkl"}}, ["model.onnx", "m.pkl"],
         ("onnx", "model.onnx")),
    ],
)  # fmt: skip
def test_what_is_imported(flavours, files, found):
    what = look(flavours, *files)
    assert isinstance(what, Importable)
    assert (what.format, what.path) == found


@pytest.mark.parametrize(
    ("flavours", "files", "words"),
    [
        ({"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}}, ["model.pkl"],
         ("'model.pkl'", "skops")),
        ({"pytorch": {"model_data": "data"}}, ["data/model.pth"], ("'data/model.pth'", "pt2")),
        ({"python_function": {"python_model": "python_model.pkl"}}, ["python_model.pkl"], ("'python_model.pkl'",)),
        ({"xgboost": {"data": "model.ubj"}}, ["model.ubj"], ("xgboost", "no engine")),
        ({"keras": {"data": "data"}}, ["data/model.h5"], (".keras",)),
        ({"sklearn": {"pickled_model": "gone.skops", "serialization_format": "skops"}}, [], ("gone.skops",)),
    ],
)  # fmt: skip
def test_what_is_refused_says_the_way(flavours, files, words):
    what = look(flavours, *files)
    assert isinstance(what, Refused)
    assert all(word in what.reason for word in words)


def test_the_signature_comes_along():
    said = {"inputs": json.dumps(COLUMNS), "outputs": "no json"}
    what = look({"onnx": {"data": "model.onnx"}}, "model.onnx", signature=said)
    assert isinstance(what, Importable)
    assert what.signature == {"inputs": COLUMNS}


@pytest.mark.parametrize(
    "text",
    [None, b"", b"\xff\xfe", b"[]", b"flavors: 5", b"flavors: {sklearn: 5}", b"!!python/object:os.system {}",
     b"a: &a [x]\nb: [*a, *a]", b"[" * 50_000, b"x" * (300 << 10), b"flavors: {sklearn: {pickled_model: [1, 2]}}"],
)  # fmt: skip
def test_files_that_say_nothing(text):
    assert isinstance(read(text, {"MLmodel": ENTRY}), Refused)


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(text):
    assert isinstance(read(text, {}), Refused)
