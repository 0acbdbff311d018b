import csv
import io
import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import NotAllowedFormat
from modelyard.trust.inspection.pickles import globals_of, is_pickle, refuse_name, refuse_pickle


class Marked(OrderedDict[str, Any]):
    """What running a pickle of it would do: nothing here may ever call it."""

    def __reduce__(self) -> Any:
        return print, ("a pickle was opened",)


OBJECTS: dict[str, Any] = {
    "a call": Marked(),
    "a dict": {"weights": [1.5, 2.5], "name": "x"},
    "an array": np.arange(5.0),
    "a tuple": (1, "two", b"three"),
    "a net": torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("what", OBJECTS)
def test_pickles_of_every_protocol(tmp_path: Path, what: str, protocol: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps(OBJECTS[what], protocol=protocol))
    with pytest.raises(NotAllowedFormat, match="pickles"):
        refuse_pickle(path, path.name)


def test_large_pickles_and_those_with_raw_bytes_inside(tmp_path: Path) -> None:
    """joblib interleaves arrays with opcodes; a large pickle does not end within what is looked at."""
    joblib.dump({"a": np.arange(100.0), "b": np.arange(100_000)}, tmp_path / "joblib")
    (tmp_path / "large").write_bytes(pickle.dumps({"a": np.arange(100_000), "b": "x" * 1_000_000}))
    (tmp_path / "old").write_bytes(pickle.dumps(list(range(3000)), protocol=0))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(NotAllowedFormat, match="pickles"):
            refuse_pickle(path, "anything.csv")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves(tmp_path: Path, zipped: bool) -> None:
    torch.save({"w": torch.zeros(3)}, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    with pytest.raises(NotAllowedFormat, match="pickles"):
        refuse_pickle(tmp_path / "x", "model.bin")


@pytest.mark.parametrize(
    "name", ["m.pkl", "M.PKL", "a/b.joblib", "w.pt", "w.pth", "x.pickle", "x.ckpt", "x.dill"]
)
def test_names(name: str) -> None:
    with pytest.raises(NotAllowedFormat):
        refuse_name(name)


def test_arrays_of_objects(tmp_path: Path) -> None:
    objects, records = np.array([{}, 1], dtype=object), np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])
    for array in (objects, records):
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
        with pytest.raises(NotAllowedFormat):
            refuse_pickle(tmp_path / "x.npy", "x.npy")
    for kind in ("f8", "i4", "U5", [("a", "i4"), ("Odd", "f4")]):
        np.save(tmp_path / "x.npy", np.zeros(3, dtype=kind))
        refuse_pickle(tmp_path / "x.npy", "x.npy")


def _table(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


@pytest.mark.parametrize(
    "text",
    [
        "class\n0\n1\n2\n",
        "cos\nsystem\n0\n",
        "Id,x\n1,2\n",
        "V1,V2\n0,1\n2.5,3\n",
        "(a)\n",
        "I\n1\n",
        "N,M\n1.\n",
        "0.5\n",
    ],
)
def test_tables_whose_letters_are_opcodes(text: str) -> None:
    assert not is_pickle(text.encode(), len(text))


@given(
    st.lists(
        st.lists(st.from_regex(r"[a-zA-Z0-9_ .-]{1,8}", fullmatch=True), min_size=2, max_size=4),
        min_size=2,
        max_size=20,
    )
)
def test_tables_are_no_pickles(rows: list[list[str]]) -> None:
    data = _table(rows)
    assert not is_pickle(data, len(data))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_lines_are_no_pickles(value: Any) -> None:
    data = json.dumps({"value": value}).encode()
    assert not is_pickle(data, len(data))


@given(st.binary(max_size=400))
def test_no_bytes_raise(data: bytes) -> None:
    is_pickle(data, len(data))
    is_pickle(b"\x80\x04" + data, len(data) + 2)


def test_the_names_that_a_pickle_would_import() -> None:
    data = pickle.dumps(OrderedDict(a=1), protocol=2)
    assert globals_of(data, "x") == {"collections OrderedDict"}
    for bad in (
        pickle.dumps(Marked(), protocol=4),
        b"\x80\x02\x82\x01.",
        data[:-1],
        b"(S'x'\nios\nsystem\n.",
    ):
        with pytest.raises(NotAllowedFormat):
            globals_of(bad, "x")
