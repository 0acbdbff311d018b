"""What a framework is given, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from modelyard.engines import Judge
from modelyard.nets import Net, Shape
from modelyard.tasks import Task
from modelyard.tasks.contract import Array, Examples
from modelyard.tasks.mosaic import to_pixels
from modelyard.types.package import Golden, NetRef, Replies
from modelyard.types.report import Exhibit
from modelyard.types.run import Reporter

History = dict[str, list[list[float]]]
"""A metric's points [epoch, value]; epochs count from 1."""
Tensors = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a framework needs to train one net.

    config     the net's own struct
    training   the recipe's `training`
    digest     of the recipe's parts that decide the weights, and of the data: what a checkpoint belongs to
    judge      of images that are generated
    validation None where the data set has no such rows
    labels     names of the classes; empty where the target is no class
    folder     the package's, with what the task's `fit` left there (a tokenizer)
    """

    task: Task
    net: Net
    config: Any
    training: Any
    shape: Shape
    train: Examples
    validation: Examples | None
    judge: Judge | None = None
    digest: str
    checkpoints: Path
    attempt: int
    reporter: Reporter
    labels: tuple[str, ...] = ()
    folder: Path | None = None

    def judged(self, outputs: Tensors, examples: Examples) -> Tensors:
        """The engine's outputs for these rows as the task's figures are made of them: of images, opinions."""
        if self.judge is None:
            return outputs
        return self.judge.compared(to_pixels(outputs["image"]), examples.targets["image"])

    @property
    def target_scale(self) -> tuple[float, float]:
        """Mean and deviation of the training targets; (0, 1) for what is no number."""
        given = self.shape.preprocessing
        return float(given.get("target_mean", 0.0)), float(given.get("target_std", 1.0))

    def engine_inputs(self, examples: Examples) -> dict[str, Array]:
        """Of all that a net is trained on, what the engine is fed."""
        return {spec.name: examples.inputs[spec.name] for spec in self.shape.inputs}


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What `Fitted.save` left in a package's folder; of nets that answer step by step `replies` and no `golden`."""

    formats: dict[str, str]
    net: NetRef
    golden: Golden | None = None
    replies: Replies | None = None
    libraries: tuple[str, ...] = field(default=())


class Fitted(Protocol):
    """A trained net."""

    @property
    def history(self) -> History: ...

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights early stopping kept, or None."""

    @property
    def adversarial(self) -> bool:
        """Whether players moved in turn: their losses do not say how good it is."""

    @property
    def may_go_on(self) -> bool:
        """Whether training ended because its epochs were over."""

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """What the report's page shows of how it was trained."""

    def outputs(self, examples: Examples) -> dict[str, Array]:
        """The framework's own answers, by the names of the engine's outputs."""

    def save(self, folder: Path, golden: Sequence[Examples]) -> Saved:
        """Write model.onnx, golden.safetensors (a set of each of these, which have one number of rows) and, for
        torch nets, the weights."""


class Framework(Protocol):
    """A module of training/: one file a framework, one line in package_training.FRAMEWORKS."""

    def fit(self, job: Job) -> Fitted: ...
