"""Training the judge that a generating model's figures need (see `engines.judge`)."""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard import tasks
from modelyard.engines import judge as judges
from modelyard.errors import ParityMismatch
from modelyard.nets import Shape, judge
from modelyard.nets.cnn import Cnn
from modelyard.tasks.contract import Examples
from modelyard.tasks.options import resolve
from modelyard.training.job import Job
from modelyard.training.recipe import GradientTraining
from modelyard.types.run import Reporter
from modelyard.types.tensor import TensorSpec

_TASK: Final = "image-classification"
_COMPARED: Final = 256
_TOLERANCE: Final = 1e-3
_STEPS, _LEAST, _MOST = 1000, 5, 12  # steps of its training about, and bounds of its epochs


def train_judge(job: Job, classes: int, folder: Path) -> dict[str, Any]:
    """Train one by the same rows and seed, write it into the package's `folder`, and return what its preprocessing
    is to say of it. Without labels (`classes` 0) there is nothing to train: plain pixels are compared."""
    if not classes:
        return {"file": "", "features": 0, "classes": 0}
    from modelyard.training import pytorch
    from modelyard.training.torch_export import to_onnx

    own = _job(job, classes)
    fitted = pytorch.fit(own)
    to_onnx(fitted.objective, own.train, folder / judges.FILE)
    described = {"file": judges.FILE, "features": own.config.hidden, "classes": classes}
    _compare(folder, {**own.shape.preprocessing, "judge": described}, own, fitted)
    return described


def _job(job: Job, classes: int) -> Job:
    task, config = tasks.load(_TASK), Cnn()
    given = task.default_recipe("cnn")["training"]
    epochs = round(_STEPS * given["batch_size"] / len(job.train))
    given |= {"seed": job.training.seed, "epochs": min(_MOST, max(_LEAST, epochs))}
    _, height, width, channels = job.train.targets["image"].shape
    image = TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels))
    outputs = judges.specs(config.hidden, classes)
    return Job(
        task=task,
        net=judge.NET,
        config=config,
        training=resolve(GradientTraining, given, "judge"),
        shape=Shape(inputs=(image,), outputs=outputs, preprocessing=job.shape.preprocessing),
        train=_labelled(job.train),
        validation=None if job.validation is None else _labelled(job.validation),
        digest=hashlib.sha256(f"judge of {job.digest}".encode()).hexdigest(),
        checkpoints=job.checkpoints / "judge",
        attempt=job.attempt,
        reporter=_Aside(job.reporter),
    )


def _labelled(examples: Examples) -> Examples:
    return Examples(
        inputs={"image": examples.targets["image"]}, targets={"target": examples.targets["target"]}
    )


class _Aside:
    """A Reporter whose metrics are told apart from the model's own."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.check = reporter.check

    def metrics(self, step: int, values: dict[str, float]) -> None:
        self._reporter.metrics(step, {f"judge/{name}": value for name, value in values.items()})

    def progress(self, done: float, total: float, text: str = "") -> None:
        self._reporter.progress(done, total, f"training the judge: {text}")


def _compare(folder: Path, preprocessing: dict[str, Any], job: Job, fitted: Any) -> None:
    rows = job.train.part(_COMPARED)
    opened = judges.open_judge(folder, preprocessing)
    found = opened.opinions(rows.inputs["image"])
    for name, expected in fitted.outputs(rows).items():
        worst = float(np.abs(found[name] - expected).max())
        if worst > _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise ParityMismatch(f"{name} of the exported judge differs from the trained one's", came=worst)
