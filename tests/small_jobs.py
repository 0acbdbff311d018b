"""Trainings that take a fraction of a second: tables and images of made-up rows."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelyard import nets, tasks
from modelyard.nets import Shape
from modelyard.tasks.contract import Examples
from modelyard.tasks.options import resolve
from modelyard.training.checkpoints import Checkpoints
from modelyard.training.job import Job
from modelyard.training.loop import Loop
from modelyard.training.recipe import GradientTraining
from modelyard.types.tensor import TensorSpec

LABELS = ("a", "b", "c")


def table_job(
    folder: Path,
    reporter: Any,
    *,
    attempt: int = 1,
    classes: int | None = 3,
    dropout: float = 0.3,
    **given: Any,
) -> Job:
    """120 rows of five numbers that say the class, or the number."""
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 5)).astype(np.float32)
    y = (x[:, 0] * 2 + x[:, 1]) + random.normal(size=120) * 0.3
    targets: Any = np.digitize(y, [-1, 1]) if classes else y * 10 + 50
    spec = TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes or 0))
    prediction = TensorSpec(name="prediction", datatype="FP32", shape=(-1,))
    net = nets.load("mlp")
    return Job(
        task=tasks.load("tabular-classification" if classes else "tabular-regression"),
        net=net,
        config=net.config(hidden=(16,), dropout=dropout),
        training=resolve(GradientTraining, {"epochs": 6, "batch_size": 16, **given}, "training"),
        shape=Shape(
            inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, 5)),),
            outputs=(spec if classes else prediction,),
            preprocessing={} if classes else {"target_mean": 50.0, "target_std": 20.0},
        ),
        train=Examples(inputs={"features": x[:90]}, targets={"target": targets[:90]}),
        validation=Examples(inputs={"features": x[90:]}, targets={"target": targets[90:]}),
        digest="d",
        checkpoints=folder,
        attempt=attempt,
        reporter=reporter,
        labels=LABELS if classes else (),
    )


def image_job(folder: Path, reporter: Any, *, attempt: int = 1, net: str = "cnn", **given: Any) -> Job:
    """60 noisy images of 8 x 8; the class is the bright third."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 60)
    x = random.integers(0, 120, (60, 8, 8, 1))
    x[np.arange(60), y * 3] += 120
    chosen = nets.load(net)
    return Job(
        task=tasks.load("image-classification"),
        net=chosen,
        config=resolve(chosen.config, SMALL.get(net, {}), "net"),
        training=resolve(GradientTraining, {"epochs": 3, "batch_size": 16, **given}, "training"),
        shape=Shape(
            inputs=(TensorSpec(name="image", datatype="UINT8", shape=(-1, 8, 8, 1)),),
            outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3)),),
            preprocessing={"mean": [70.0], "std": [50.0]},
        ),
        train=Examples(inputs={"image": x[:45].astype(np.uint8)}, targets={"target": y[:45]}),
        validation=Examples(inputs={"image": x[45:].astype(np.uint8)}, targets={"target": y[45:]}),
        digest="d",
        checkpoints=folder,
        attempt=attempt,
        reporter=reporter,
        labels=LABELS,
    )


SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"channels": [4, 4, 4], "hidden": 8},
    "resnet": {"channels": [4, 8]},
    "vit": {"width": 8, "heads": 2, "layers": 1, "hidden": 16},
}


def run(job: Job) -> Loop:
    torch.manual_seed(job.training.seed)
    module = job.net.build(job.config, job.shape)
    loop = Loop(job=job, module=module, checkpoints=Checkpoints(job.checkpoints, job.attempt))
    loop.run()
    return loop


def same(one: Loop, other: Loop) -> None:
    assert one.state == other.state
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name
