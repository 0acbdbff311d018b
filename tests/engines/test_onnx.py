import numpy as np
import pytest
from onnx import TensorProto, helper

from modelyard.engines import EngineOptions
from modelyard.engines.onnx import create
from modelyard.errors import InvalidInput, NotAllowedFormat
from modelyard.types.tensor import Signature, TensorSpec
from small_package import answers, linear_onnx

TENSORS = Signature(
    inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, 2)),),
    outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),),
)
ADD = Signature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 4)),),
)
ROWS = np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0]], np.float32)


def opened(path, tensors=TENSORS, threads=1):
    return create(path, tensors, EngineOptions(threads=threads))


@pytest.fixture
def linear(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(linear_onnx().SerializeToString())
    return path


def external(location, *, constant=False, address=None):
    """A model whose weight lies at `location`."""
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    w.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(address or 0)), ("length", "16")):
        entry = w.external_data.add()
        entry.key, entry.value = key, value
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=w))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
        [] if constant else [w],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()


@pytest.mark.parametrize("threads", [1, 2])
def test_answers_as_numpy_does(linear, threads):
    outputs = opened(linear, threads=threads).run({"features": ROWS})
    assert list(outputs) == ["probabilities"]
    np.testing.assert_allclose(outputs["probabilities"], answers(ROWS), atol=1e-6)


def test_takes_read_only_and_strided_arrays(linear):
    engine = opened(linear)
    frozen = np.frombuffer(ROWS.tobytes(), np.float32).reshape(ROWS.shape)
    strided = np.repeat(ROWS, 2, axis=0)[::2]
    for rows in (frozen, strided, np.asfortranarray(ROWS)):
        np.testing.assert_allclose(engine.run({"features": rows})["probabilities"], answers(ROWS), atol=1e-6)


@pytest.mark.parametrize(
    "inputs",
    [
        {"features": np.zeros((2, 3), np.float32)},
        {"features": np.zeros((2, 2), np.float64)},
        {"features": np.zeros(2, np.float32)},
        {"other": ROWS},
        {"features": ROWS, "more": ROWS},
        {"features": np.array([["a", "b"]], object)},
    ],
)
def test_tensors_that_it_does_not_take_are_a_users_error(linear, inputs):
    with pytest.raises(InvalidInput, match="cannot run on these tensors; came: ") as caught:
        opened(linear).run(inputs)
    assert "onnxruntime" not in caught.value.message.lower()


def test_goes_on_after_an_error(linear):
    engine = opened(linear)
    with pytest.raises(InvalidInput):
        engine.run({"features": np.zeros((2, 3), np.float32)})
    np.testing.assert_allclose(engine.run({"features": ROWS})["probabilities"], answers(ROWS), atol=1e-6)


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"not a model", b"\x80\x04\x95pickle"])
def test_a_file_that_is_no_model_is_refused(tmp_path, data):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="not a model that the onnx engine can open") as caught:
        opened(path)
    assert str(tmp_path) not in caught.value.message


def test_a_cut_file_is_refused(linear):
    linear.write_bytes(linear.read_bytes()[:-20])
    with pytest.raises(InvalidInput):
        opened(linear)


def test_inputs_that_are_not_the_manifests_are_refused(linear):
    wrong = Signature(
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1,)),), outputs=TENSORS.outputs
    )
    with pytest.raises(
        InvalidInput, match=r"inputs are not those of its manifest; came: .*features.*allowed: image"
    ):
        opened(linear, wrong)


def test_an_output_that_is_not_there_is_refused(linear):
    wrong = Signature(
        inputs=TENSORS.inputs, outputs=(TensorSpec(name="label", datatype="INT64", shape=(-1,)),)
    )
    with pytest.raises(InvalidInput, match="outputs are not those"):
        opened(linear, wrong)


def test_external_data_in_the_models_folder_is_read(tmp_path):
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    (tmp_path / "model.onnx").write_bytes(external("w.bin"))
    outputs = opened(tmp_path / "model.onnx", ADD).run({"x": np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(outputs["y"], [[0, 1, 2, 3]])


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("location", ["../w.bin", "ABSOLUTE", "sub/../../w.bin"])
def test_external_data_outside_the_models_folder_is_refused(tmp_path, location, constant):
    np.arange(4, dtype=np.float32).tofile(tmp_path / "w.bin")
    (tmp_path / "package" / "sub").mkdir(parents=True)
    location = str(tmp_path / "w.bin") if location == "ABSOLUTE" else location
    path = tmp_path / "package" / "model.onnx"
    path.write_bytes(external(location, constant=constant))
    with pytest.raises(NotAllowedFormat, match=r"model\.onnx has external data outside its folder") as caught:
        opened(path, ADD)
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize("constant", [False, True])
def test_a_tensor_at_a_memory_address_is_refused(tmp_path, constant):
    secret = np.arange(4, dtype=np.float32)
    path = tmp_path / "model.onnx"
    path.write_bytes(external("*/_ORT_MEM_ADDR_/*", constant=constant, address=secret.ctypes.data))
    with pytest.raises((InvalidInput, NotAllowedFormat)):
        opened(path, ADD)


def test_custom_operators_are_not_loaded(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.contrib", 1)]
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    with pytest.raises(InvalidInput, match="not a model that the onnx engine can open"):
        opened(path, ADD)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_model_of_a_fixed_batch_runs_in_parts(tmp_path, rows):
    """The last part is filled up, and what filled it is left out."""
    path = tmp_path / "model.onnx"
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    for count in (1, 2, 5):
        np.testing.assert_array_equal(opened(path, ADD).run({"x": x[:count]})["y"], 2 * x[:count])
    with pytest.raises(InvalidInput):
        opened(path, ADD).run({"x": x[:, :3]})
