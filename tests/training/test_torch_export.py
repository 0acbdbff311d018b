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
from modelyard.tasks.contract import Examples
from modelyard.training.job import Job
from modelyard.training.objective import Objective, tensors
from modelyard.training.recipe import GradientTraining
from modelyard.training.torch_export import to_onnx
from modelyard.types.tensor import Signature, TensorSpec

pytestmark = pytest.mark.slow

CONFIGS: dict[str, dict[str, Any]] = {"efficientnet_lite": {"pretrained": False, "size": 64}}


@pytest.mark.parametrize(
    ("name", "height", "width", "channels"),
    [
        ("cnn", 9, 13, 3),
        ("cnn", 71, 37, 1),
        ("resnet", 9, 13, 3),
        ("resnet", 71, 37, 1),
        ("vit", 9, 13, 3),
        ("efficientnet_lite", 21, 37, 1),
    ],
)
def test_image_nets_at_odd_sizes(
    tmp_path: Path, recorder: Any, name: str, height: int, width: int, channels: int
) -> None:
    shape = Shape(
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels)),),
        outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),),
        preprocessing={"mean": [120.0] * channels, "std": [60.0] * channels},
    )
    pixels = np.random.default_rng(0).integers(0, 256, (5, height, width, channels), dtype=np.uint8)
    net = nets.load(name)
    job = Job(
        task=tasks.load("image-classification"),
        net=net,
        config=net.config(**CONFIGS.get(name, {})),
        training=GradientTraining(),
        shape=shape,
        train=Examples(inputs={"image": pixels}, targets={"target": np.zeros(5, np.int64)}),
        validation=None,
        digest="d",
        checkpoints=tmp_path / "checkpoints",
        attempt=1,
        reporter=recorder,
    )
    torch.manual_seed(0)
    module = net.build(job.config, shape).eval()
    objective = Objective(module, job)
    to_onnx(objective, job.train, tmp_path / "model.onnx")
    engine = create(
        tmp_path / "model.onnx", Signature(inputs=shape.inputs, outputs=shape.outputs), EngineOptions()
    )
    with torch.inference_mode():
        expected = objective.answers(tensors({"image": pixels}))["probabilities"].numpy()
    for rows in (1, 2, 5):
        found = engine.run({"image": pixels[:rows]})["probabilities"]
        assert np.allclose(found, expected[:rows], atol=1e-5)
