"""A small real package, made by hand: a linear classifier of two numbers as ONNX, with golden rows."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from modelyard import packages, tasks
from modelyard.types.dataset import Column, Schema
from modelyard.types.package import Golden, Lineage, Manifest

LABELS = ("blue", "green", "red")
WEIGHTS = np.array([[2.0, -1.0, 0.5], [0.0, 1.5, -2.0]], np.float32)
BIAS = np.array([0.1, -0.2, 0.3], np.float32)
SCHEMA = Schema(
    columns=(
        Column(name="a", kind="number"),
        Column(name="b", kind="number"),
        Column(name="y", kind="category"),
    ),
    label="y",
)


def linear_onnx(weights: Any = WEIGHTS, bias: Any = BIAS) -> Any:
    """An onnx.ModelProto: probabilities = softmax(features @ weights + bias)."""
    from onnx import TensorProto, helper, numpy_helper

    classes = len(bias)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "w", "b"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, classes])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answers(features: Any) -> Any:
    """What the net answers, by NumPy."""
    logits = np.asarray(features, np.float32) @ WEIGHTS + BIAS
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def columns(rows: int, seed: int = 0) -> dict[str, Any]:
    """Columns a and b, of mean 0 and deviation 1, so that fitted scaling changes little."""
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=rows), "b": rng.normal(size=rows)}


def manifest() -> Manifest:
    """The package's manifest before it is written."""
    task = tasks.load("tabular-classification")
    preprocessing = task.fit(columns(200), SCHEMA, {}) | {"target": "y"}
    return Manifest(
        task=task.name,
        signature=task.signature(preprocessing, LABELS),
        tensors=task.tensors(preprocessing, LABELS),
        preprocessing=preprocessing,
        labels=LABELS,
        formats={"onnx": "model.onnx"},
        golden=Golden(file="golden.safetensors", rows=5, rtol=1e-4, atol=1e-5),
        lineage=Lineage(dataset="colours:1"),
    )


def write_files(folder: Path, golden_outputs: Any = None) -> None:
    """model.onnx and golden.safetensors of five rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(linear_onnx().SerializeToString())
    features = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    outputs = answers(features) if golden_outputs is None else golden_outputs
    save_file({"inputs.features": features, "outputs.probabilities": outputs}, folder / "golden.safetensors")


def write_package(folder: Path, golden_outputs: Any = None) -> Manifest:
    """The whole package."""
    write_files(folder, golden_outputs)
    return packages.write(folder, manifest())
