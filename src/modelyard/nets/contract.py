"""What a net is: an architecture or an estimator, with its configuration and its source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from modelyard.types.tensor import TensorSpec

Framework = Literal["pytorch", "sklearn"]
IMAGES, CLASSES, NUMBERS = "image-classification", "tabular-classification", "tabular-regression"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a net is built for: the engine's tensors and the task's fitted parameters.

    input          `image` UINT8 [-1, height, width, channels] or `features` FP32 [-1, features]
    output         `probabilities` FP32 [-1, classes] or `prediction` FP32 [-1]
    preprocessing  as `Task.fit` made it; for images `mean` and `std` a channel, in steps of 0..255
    """

    input: TensorSpec
    output: TensorSpec
    preprocessing: Mapping[str, Any]

    @property
    def is_image(self) -> bool:
        return self.input.name == "image"

    @property
    def classes(self) -> int | None:
        """How many, or None for a regression."""
        return self.output.shape[1] if self.output.name == "probabilities" else None

    @property
    def width(self) -> int:
        """Values a row."""
        size = 1
        for axis in self.input.shape[1:]:
            size *= axis
        return size

    @property
    def outputs(self) -> int:
        """Values a row that a network's last layer gives."""
        return self.classes or 1


@dataclass(frozen=True, kw_only=True)
class Net:
    """One file in nets/, one line in nets.NETS.

    config   a frozen msgspec struct with defaults; read without the framework
    build    (config, shape) -> a torch.nn.Module, or an unfitted scikit-learn estimator. A module takes the
             engine's
             input and gives logits [rows, classes], or [rows] in units of the training targets' deviation.
    source   the paper or book that describes it
    """

    name: str
    framework: Framework
    tasks: tuple[str, ...]
    config: type[msgspec.Struct]
    build: Callable[[Any, Shape], Any]
    source: str
