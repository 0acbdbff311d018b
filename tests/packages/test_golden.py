"""Golden rows: numbers and texts, at one length and at several."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import Corrupt
from modelyard.packages import golden
from modelyard.types.package import Golden
from modelyard.types.tensor import Signature, TensorSpec


def texts(*values: str) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = [v.encode() for v in values]
    return out


SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="x", datatype="FP32", shape=(-1, -1)),
        TensorSpec(name="t", datatype="BYTES", shape=(-1,)),
    ),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1,)),),
)


def a_set(length: int) -> golden.GoldenSet:
    x = np.arange(2 * length, dtype=np.float32).reshape(2, length)
    return {"x": x, "t": texts("a", "b")}, {"y": x.sum(axis=1)}


def test_every_set_comes_back(tmp_path: Path) -> None:
    written = golden.write_sets(tmp_path, [a_set(3), a_set(5)])
    assert (written.rows, written.sets) == (2, 2)
    found = golden.read_sets(tmp_path, written, SIGNATURE)
    assert [inputs["x"].shape for inputs, _ in found] == [(2, 3), (2, 5)]
    assert found[1][0]["t"].tolist() == [b"a", b"b"]
    assert written.atol == pytest.approx(1e-5 * 35)  # of the largest answer


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=1, max_size=5))
def test_texts_of_any_kind_come_back(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    folder = tmp_path_factory.mktemp("golden")
    x = np.zeros((len(values), 1), np.float32)
    written = golden.write(folder, {"x": x, "t": texts(*values)}, {"y": x[:, 0]})
    ((inputs, _),) = golden.read_sets(folder, written, SIGNATURE)
    assert [cell.decode() for cell in inputs["t"].tolist()] == values


def test_one_set_is_written_as_it_was_before_there_were_several(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    written = golden.write(tmp_path, {"x": np.ones((2, 1), np.float32)}, {"y": np.ones(2, np.float32)})
    assert set(load_file(tmp_path / written.file)) == {"inputs.x", "outputs.y"}
    assert not isinstance(written.sets, int)


def test_a_file_that_holds_something_else_is_corrupt(tmp_path: Path) -> None:
    written = golden.write_sets(tmp_path, [a_set(3)])
    more = Golden(file=written.file, rows=2, rtol=1e-4, atol=1e-5, sets=2)
    with pytest.raises(Corrupt, match="other tensors"):
        golden.read_sets(tmp_path, more, SIGNATURE)
    fewer = Golden(file=written.file, rows=3, rtol=1e-4, atol=1e-5)
    with pytest.raises(Corrupt, match="other rows"):
        golden.read_sets(tmp_path, fewer, SIGNATURE)
    (tmp_path / written.file).write_bytes(b"nothing")
    with pytest.raises(Corrupt, match="not a safetensors file"):
        golden.read_sets(tmp_path, written, SIGNATURE)
