"""ONNX models as they are brought: written by hand, so that each has just what is tested."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelyard import conversion, engines
from modelyard.conversion import onnx_files
from modelyard.errors import InvalidInput, NotAllowedFormat

FLOAT, STRING, INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64
WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
ROWS = np.random.default_rng(3).random((5, 4)).astype(np.float32)


def model_of(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any] | None = None,
             inferred: list[Any] | None = None) -> Any:  # fmt: skip
    tensors = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "brought", inputs, outputs, tensors, value_info=inferred or [])
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


def value(name: str, shape: list[int | None] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def linear(rows: int | None, *, shape: list[int] | None = None) -> Any:
    """y = relu(x) W, with a Reshape to `shape` before it where one is given."""
    nodes = [helper.make_node("Relu", ["x"], ["r"])]
    constants: dict[str, Any] = {"w": WEIGHTS}
    if shape is not None:
        nodes.append(helper.make_node("Reshape", ["r", "shape"], ["flat"]))
        constants["shape"] = np.array(shape, np.int64)
    nodes.append(helper.make_node("MatMul", ["flat" if shape else "r", "w"], ["y"]))
    inferred = [value("r", [rows, 4])]
    return model_of(nodes, [value("x", [rows, 4])], [value("y", [rows, 3])], constants, inferred)


def packaged(model: Any, out: Path, **options: Any) -> Any:
    example = options.pop("example", None)
    return conversion.package(model, out, conversion.Options(**options), example=example)


def answered(out: Path, **inputs: Any) -> dict[str, Any]:
    return engines.open_model(out).predict(inputs)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("example", [None, ROWS])
def test_a_fixed_batch_is_freed(tmp_path: Path, rows: int, example: Any) -> None:
    made = packaged(linear(rows), tmp_path / "p", example=example)
    assert any("has been freed" in note for note in made.notes)
    session_shape = (
        onnx.load(tmp_path / "p/model.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_param
    )
    assert session_shape == "rows"
    np.testing.assert_allclose(
        answered(tmp_path / "p", x=ROWS)["y"], np.maximum(ROWS, 0) @ WEIGHTS, rtol=1e-5
    )


@pytest.mark.parametrize("shape", [[1, 4], [1, -1]])
def test_a_reshape_to_one_row_is_freed_with_it(tmp_path: Path, shape: list[int]) -> None:
    made = packaged(linear(1, shape=shape), tmp_path / "p")
    assert any("has been freed" in note for note in made.notes)
    assert engines.open_model(tmp_path / "p").engine.rows is None  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        answered(tmp_path / "p", x=ROWS)["y"], np.maximum(ROWS, 0) @ WEIGHTS, rtol=1e-5
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_what_cannot_be_freed_says_so_and_runs_row_by_row(tmp_path: Path, rows: int) -> None:
    """The mean over the batch is part of each answer: with other rows beside it, it is another one."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        helper.make_node("Mul", ["x", "m"], ["y"]),
    ]
    model = model_of(
        nodes, [value("x", [rows, 4])], [value("y", [rows, 4])], {"axes": np.array([0], np.int64)}
    )
    if rows == 1:
        made = packaged(model, tmp_path / "p")
        assert any("could not be freed: rows are run 1 at a time" in note for note in made.notes)
        np.testing.assert_allclose(answered(tmp_path / "p", x=ROWS)["y"], ROWS**2, rtol=1e-5)
    else:  # no row has an answer of its own
        with pytest.raises(Exception, match="differ"):
            packaged(model, tmp_path / "p")


def test_a_batch_that_cannot_be_freed_is_filled_up(tmp_path: Path) -> None:
    """Gather by row numbers of three rows: a constant of the graph that no one can free."""
    nodes = [helper.make_node("Gather", ["x", "places"], ["y"], axis=0)]
    places = np.array([0, 1, 2], np.int64)
    made = packaged(
        model_of(nodes, [value("x", [3, 4])], [value("y", [3, 4])], {"places": places}), tmp_path / "p"
    )
    assert any("rows are run 3 at a time" in note for note in made.notes)
    for count in (1, 3, 5):
        np.testing.assert_array_equal(answered(tmp_path / "p", x=ROWS[:count])["y"], ROWS[:count])


def test_an_output_without_rows_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    model = model_of(nodes, [value("x", [1, 4])], [value("y", [4, 1])], {"shape": np.array([4, 1], np.int64)})
    with pytest.raises(InvalidInput, match="output 'y' has not a row for each"):
        packaged(model, tmp_path / "p")


def test_inputs_without_a_common_axis_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = model_of(nodes, [value("x", [1, 4]), value("w", [4, 3])], [value("y", [1, 3])])
    with pytest.raises(InvalidInput, match="different first axes"):
        packaged(model, tmp_path / "p")


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])]
    model = model_of(
        nodes,
        [value("a", [None, 4]), value("b", [None, 4])],
        [value("sum", [None, 4]), value("product", None)],
    )
    manifest = packaged(model, tmp_path / "p").manifest
    assert manifest.task == "tensors"
    assert [t.shape for t in manifest.signature.outputs] == [(-1, 4), (-1, 4)]
    found = answered(tmp_path / "p", a=ROWS, b=ROWS + 1)
    np.testing.assert_allclose(found["product"], ROWS * (ROWS + 1), rtol=1e-6)
    np.testing.assert_allclose(found["sum"], 2 * ROWS + 1, rtol=1e-6)


@pytest.mark.parametrize("rows", [None, 1])
def test_texts_come_in_and_go_out(tmp_path: Path, rows: int | None) -> None:
    nodes = [
        helper.make_node(
            "LabelEncoder", ["word"], ["number"], domain="ai.onnx.ml", keys_strings=["a", "b", "ü"],
            values_int64s=[1, 2, 3], default_int64=0,
        ),
        helper.make_node(
            "LabelEncoder", ["number"], ["back"], domain="ai.onnx.ml", keys_int64s=[1, 2, 3],
            values_strings=["a", "b", "ü"], default_string="?",
        ),
    ]  # fmt: skip
    outputs = [value("number", [rows, 1], INT64), value("back", [rows, 1], STRING)]
    packaged(model_of(nodes, [value("word", [rows, 1], STRING)], outputs), tmp_path / "p")
    words = np.array([[w.encode()] for w in ("ü", "b", "zebra")], object)
    found = answered(tmp_path / "p", word=words)
    assert found["number"].ravel().tolist() == [3, 2, 0]
    assert found["back"].ravel().tolist() == ["ü".encode(), b"b", b"?"]


def test_a_free_length_is_tried_until_the_model_takes_it(tmp_path: Path) -> None:
    """A pool of 20 takes no 8."""
    nodes = [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[20])]
    packaged(model_of(nodes, [value("x", [None, 2, None])], [value("y", [None, 2, None])]), tmp_path / "p")
    x = np.random.default_rng(0).random((2, 2, 25)).astype(np.float32)
    assert answered(tmp_path / "p", x=x)["y"].shape == (2, 2, 6)


def beside(folder: Path, location: str = "weights/w.bin") -> Path:
    """The linear model with its tensor in a file of its own."""
    folder.mkdir()
    model = linear(None)
    tensor = model.graph.initializer[0]
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    (folder / location).write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def test_tensors_beside_the_file_are_taken_in(tmp_path: Path) -> None:
    source = beside(tmp_path / "source")
    (tmp_path / "link").hardlink_to(source.parent / "weights/w.bin")  # as the platform's own uploads are
    made = conversion.package_file(source, "onnx", tmp_path / "p")
    assert sorted(made.manifest.files) == ["golden.safetensors", "model.onnx"]
    np.testing.assert_allclose(answered(tmp_path / "p", x=ROWS)["y"], ROWS @ WEIGHTS, rtol=1e-5)


def test_large_tensors_stay_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_files, "LARGEST", 10)
    source = beside(tmp_path / "source")
    made = conversion.package_file(source, "onnx", tmp_path / "p")
    assert sorted(made.manifest.files) == ["golden.safetensors", "model.onnx", "weights/w.bin"]
    assert (tmp_path / "p/weights/w.bin").stat().st_ino == (source.parent / "weights/w.bin").stat().st_ino
    np.testing.assert_allclose(answered(tmp_path / "p", x=ROWS)["y"], ROWS @ WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", ""])
def test_tensors_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    path = beside(tmp_path / "source")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(NotAllowedFormat, match="outside of its folder"):
        conversion.package_file(path, "onnx", tmp_path / "p")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = beside(tmp_path / "source")
    held = path.parent / "weights/w.bin"
    held.rename(tmp_path / "w.bin")
    held.symlink_to(tmp_path / "w.bin")
    with pytest.raises(InvalidInput, match="not beside it"):
        conversion.package_file(path, "onnx", tmp_path / "p")


def test_tensors_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path = beside(tmp_path / "source")
    (path.parent / "weights/w.bin").write_bytes(b"abc")
    with pytest.raises(InvalidInput):
        conversion.package_file(path, "onnx", tmp_path / "p")


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x0a"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(InvalidInput):
        conversion.package_file(tmp_path / "x.onnx", "onnx", tmp_path / "p")
    assert not (tmp_path / "p").exists()
