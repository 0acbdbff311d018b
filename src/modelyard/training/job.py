"""What a framework is given, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from modelyard.nets import Net, Shape
from modelyard.tasks import Task
from modelyard.tasks.contract import Array
from modelyard.types.package import Golden, NetRef
from modelyard.types.run import Reporter

History = dict[str, list[list[float]]]
"""A metric's points [epoch, value]; epochs count from 1."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """`x` is the engine's input tensor, [rows, ...]; `y` the targets, int64 class numbers or float64
    values."""

    x: Array
    y: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def part(self, most: int) -> "Split":
        """At most this many rows, evenly spaced."""
        if len(self) <= most:
            return self
        rows = np.linspace(0, len(self) - 1, most).astype(np.int64)
        return Split(x=self.x[rows], y=self.y[rows])


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a framework needs to train one net.

    config     the net's own struct
    training   the recipe's `training`
    digest     of the recipe's parts that decide the weights, and of the data: what a checkpoint belongs to
    validation None where the data set has no such rows
    """

    task: Task
    net: Net
    config: Any
    training: Any
    shape: Shape
    train: Split
    validation: Split | None
    digest: str
    checkpoints: Path
    attempt: int
    reporter: Reporter

    @property
    def target_scale(self) -> tuple[float, float]:
        """Mean and deviation of the training targets; (0, 1) for classes."""
        given = self.shape.preprocessing
        return float(given.get("target_mean", 0.0)), float(given.get("target_std", 1.0))


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What `Fitted.save` left in a package's folder."""

    formats: dict[str, str]
    net: NetRef
    golden: Golden
    libraries: tuple[str, ...] = field(default=())


class Fitted(Protocol):
    """A trained net."""

    @property
    def history(self) -> History: ...

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights early stopping kept, or None."""

    @property
    def may_go_on(self) -> bool:
        """Whether training ended because its epochs were over."""

    def outputs(self, x: Array) -> Mapping[str, Array]:
        """The framework's own answers to the engine's input: `probabilities` or `prediction`, float32."""

    def save(self, folder: Path, golden: Array) -> Saved:
        """Write model.onnx, golden.safetensors (from these rows of input) and, for torch nets, the
        weights."""


class Framework(Protocol):
    """A module of training/: one file a framework, one line in package_training.FRAMEWORKS."""

    def fit(self, job: Job) -> Fitted: ...
