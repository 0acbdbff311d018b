"""What MXNet's exporter wrote: an old opset, constants among the inputs, a batch of one."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelyard import conversion
from modelyard.conversion import Options
from modelyard.engines import open_model


def exported(path: Path, constants: dict[str, np.ndarray]) -> None:
    """As `mx.onnx.export_model` of MXNet 1.9 lays out a small convolutional network."""
    nodes = [
        helper.make_node("Conv", ["data", "conv_weight", "conv_bias"], ["conv"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Flatten", ["relu"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc_weight", "fc_bias"], ["fc"], transB=1, alpha=1.0, beta=1.0),
        helper.make_node("Softmax", ["fc"], ["softmax0"], axis=1),
    ]
    inputs = {"data": (1, 1, 8, 8), **{name: value.shape for name, value in constants.items()}}
    graph = helper.make_graph(
        nodes,
        "mxnet_converted_model",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
        [helper.make_tensor_value_info("softmax0", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3), path)


def test_an_old_export_is_served_for_any_number_of_images(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    constants = {
        "conv_weight": draw.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "conv_bias": np.zeros(2, np.float32),
        "fc_weight": draw.normal(size=(10, 2 * 6 * 6)).astype(np.float32),
        "fc_bias": np.zeros(10, np.float32),
    }
    exported(tmp_path / "mxnet.onnx", constants)
    made = conversion.package_file(
        tmp_path / "mxnet.onnx", "onnx", tmp_path / "p", Options(task="image-classification", scale=255)
    )
    assert [t.name for t in made.manifest.tensors.inputs] == ["data"]
    pixels = draw.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    found = open_model(tmp_path / "p").predict({"image": pixels})["probabilities"]
    assert np.allclose(found, by_hand(pixels[..., 0] / 255, constants), atol=1e-5)


def by_hand(images: np.ndarray, constants: dict[str, np.ndarray]) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    conv = np.einsum("nhwij,cij->nchw", windows, constants["conv_weight"][:, 0])
    logits = np.maximum(conv, 0).reshape(len(images), -1) @ constants["fc_weight"].T
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
