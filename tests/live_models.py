"""Packages for serving tests: an image classifier, and a workbench that takes as long as it is told and
fails on demand."""

from pathlib import Path
from typing import Any

import numpy as np

from modelyard import packages, tasks
from modelyard.types.dataset import Column, Schema
from modelyard.types.package import Manifest

IMAGE_LABELS = ("dark", "light")
SIDE = 8
POISON = 1000.0


def image_package(folder: Path) -> Manifest:
    """`light` is the more probable the brighter the 8 x 8 grey image: logit = mean / 128 - 1."""
    task = tasks.load("image-classification")
    preprocessing = {"column": "image", "mode": "L", "size": [SIDE, SIDE], "mean": [0.0], "std": [255.0]}
    return _write(folder, task, preprocessing, IMAGE_LABELS, _brightness())


def image_answer(pixels: Any) -> Any:
    """What the image package answers, by NumPy: [rows, 2]."""
    logit = np.asarray(pixels, np.float64).reshape(len(pixels), -1).mean(axis=1) / 128 - 1
    light = 1 / (1 + np.exp(-logit))
    return np.stack([1 - light, light], axis=1)


def workbench_package(folder: Path) -> Manifest:
    """Columns `work` and `index`: the model multiplies matrices `work` times, 0.3 ms each (of the whole
    batch: the largest) and looks up row `index` of ten; any other, as POISON, fails the whole batch in
    ONNX Runtime."""
    task = tasks.load("tabular-classification")
    schema = Schema(
        columns=tuple(
            Column(name=n, kind=k) for n, k in (("work", "number"), ("index", "number"), ("y", "category"))
        ),
        label="y",
    )
    columns = {"work": np.arange(10.0), "index": np.arange(10.0)}
    preprocessing = task.fit(columns, schema, {"scale": "none"}) | {"target": "y"}
    return _write(folder, task, preprocessing, ("even", "odd"), _workbench())


def _write(folder: Path, task: Any, preprocessing: Any, labels: tuple[str, ...], model: Any) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = Manifest(
        task=task.name,
        signature=task.signature(preprocessing, labels),
        tensors=task.tensors(preprocessing, labels),
        preprocessing=preprocessing,
        labels=labels,
        formats={"onnx": "model.onnx"},
    )
    return packages.write(folder, manifest)


def _brightness() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = np.zeros((SIDE * SIDE, 2), np.float32)
    weights[:, 1] = 1 / (128 * SIDE * SIDE)
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([0, -1], np.float32), "b"),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [None, SIDE, SIDE, 1])]
    return _model(nodes, inputs, constants)


def _workbench() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "matrix"], ["next_state"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("step_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [200, 200]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, [200, 200]),
        ],
    )
    nodes = [
        helper.make_node("Split", ["features"], ["work", "index"], axis=1, num_outputs=2),
        helper.make_node("ReduceMax", ["work"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["steps"], to=TensorProto.INT64),
        helper.make_node("Loop", ["steps", "", "matrix"], ["worked"], body=body),
        helper.make_node("ReduceSum", ["worked"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["index"], ["places"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["places", "axis"], ["flat_places"]),
        helper.make_node("Gather", ["table", "flat_places"], ["found"], axis=0),
        helper.make_node("Add", ["found", "nothing"], ["probabilities"]),
    ]
    table = np.array([[k % 2 == 0, k % 2] for k in range(10)], np.float32)
    constants = {
        "matrix": np.eye(200, dtype=np.float32),
        "zero": np.array(0, np.float32),
        "axis": np.array([1], np.int64),
        "table": table,
    }
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])]
    return _model(nodes, inputs, tensors)


def _model(nodes: list[Any], inputs: list[Any], constants: list[Any]) -> Any:
    from onnx import TensorProto, helper

    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    graph = helper.make_graph(nodes, "model", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
