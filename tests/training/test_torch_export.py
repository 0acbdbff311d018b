"""Images of odd sizes go through ONNX as they go through torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelyard import nets, tasks
from modelyard.engines.contract import EngineOptions
from modelyard.engines.onnx import create
from modelyard.nets import Shape
from modelyard.training.job import Job, Split
from modelyard.training.loop import answers
from modelyard.training.recipe import GradientTraining
from modelyard.training.torch_export import to_onnx
from modelyard.types.tensor import Signature, TensorSpec


@pytest.mark.parametrize(("height", "width", "channels"), [(9, 13, 3), (71, 37, 1)])
def test_the_cnn_at_odd_sizes(tmp_path: Path, recorder: Any, height: int, width: int, channels: int) -> None:
    shape = Shape(
        input=TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels)),
        output=TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),
        preprocessing={"mean": [120.0] * channels, "std": [60.0] * channels},
    )
    pixels = np.random.default_rng(0).integers(0, 256, (5, height, width, channels), dtype=np.uint8)
    net = nets.load("cnn")
    job = Job(
        task=tasks.load("image-classification"),
        net=net,
        config=net.config(),
        training=GradientTraining(),
        shape=shape,
        train=Split(x=pixels, y=np.zeros(5, np.int64)),
        validation=None,
        digest="d",
        checkpoints=tmp_path / "checkpoints",
        attempt=1,
        reporter=recorder,
    )
    torch.manual_seed(0)
    module = net.build(job.config, shape).eval()
    to_onnx(module, job, tmp_path / "model.onnx")
    engine = create(
        tmp_path / "model.onnx", Signature(inputs=(shape.input,), outputs=(shape.output,)), EngineOptions()
    )
    with torch.inference_mode():
        expected = answers(module(torch.from_numpy(pixels)), job)["probabilities"]
    for rows in (1, 2, 5):
        found = engine.run({"image": pixels[:rows]})["probabilities"]
        assert np.allclose(found, expected[:rows], atol=1e-5)
