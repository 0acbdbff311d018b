"""What a net is: an architecture or an estimator, with its configuration and its source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from modelyard.types.decoder import State
from modelyard.types.tensor import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from modelyard.tasks.contract import Examples

Framework = Literal["pytorch", "closed-form", "sklearn"]
IMAGES, CLASSES, NUMBERS = "image-classification", "tabular-classification", "tabular-regression"
RECOMMENDATION, RATINGS = "recommendation", "rating-prediction"
FORECASTS = "time-series-forecasting"
TEXTS, VECTORS = "text-classification", "feature-extraction"
SOUNDS, SPEECH = "audio-classification", "automatic-speech-recognition"
LANGUAGE, TRANSLATED = "text-generation", "translation"
GENERATED, PROMPTED = "unconditional-image-generation", "text-to-image"
AUTOENCODED = "text-autoencoding"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a net is built for: the engine's tensors and the task's fitted parameters.

    inputs         as `image` UINT8 [-1, height, width, channels], `features` FP32 [-1, features] or `spectrogram`
                   FP32 [-1, frames, bands]
    outputs        as `probabilities` FP32 [-1, classes] or `prediction` FP32 [-1]
    preprocessing  as `Task.fit` made it; for images `mean` and `std` a channel, in steps of 0..255
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Mapping[str, Any]

    @property
    def input(self) -> TensorSpec:
        """The first."""
        return self.inputs[0]

    @property
    def output(self) -> TensorSpec:
        """The first."""
        return self.outputs[0]

    @property
    def is_image(self) -> bool:
        return self.input.name == "image"

    @property
    def classes(self) -> int | None:
        """How many; None where the answer is no probability of each class."""
        return next((spec.shape[1] for spec in self.outputs if spec.name == "probabilities"), None)

    @property
    def width(self) -> int:
        """Values a row of the first input."""
        size = 1
        for axis in self.input.shape[1:]:
            size *= axis
        return size

    @property
    def values(self) -> int:
        """Values a row that a network's last layer gives."""
        return self.classes or 1


@dataclass(frozen=True, kw_only=True)
class Net:
    """One file in nets/, one line in nets.NETS.

    framework  "pytorch": trained by steps along the gradient. "closed-form": a module too, whose `solve` finds its
               buffers in one go. "sklearn": an estimator
    config     a frozen msgspec struct with defaults; read without the framework
    build      (config, shape) -> a torch.nn.Module, or an unfitted scikit-learn estimator
    source     the paper or book that describes it
    exporter   "dynamo" traces with torch.export; "trace" is for recurrent nets of free length

    A module takes the engine's inputs in their order and gives logits [rows, classes], or [rows] in units of the
    training targets' deviation; it is trained by cross entropy, or squared error. A module whose objective or
    answer is another has what `Own` says besides.
    """

    name: str
    framework: Framework
    tasks: tuple[str, ...]
    config: type[msgspec.Struct]
    build: Callable[[Any, Shape], Any]
    source: str
    exporter: Literal["dynamo", "trace"] = "dynamo"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a module answers step by step: its graphs for the decoding engine, as types.decoder describes them.

    step    a module: (tokens, lengths, *state) -> (logits, *what is new of each state that a step changes)
    encode  a module: (source, source_lengths) -> (*states that are there before the first step); None of models
            that go on from a text. The net's own module gives all logits at once, which the graphs are held to: of
            (tokens), or of (source, tokens)
    context, source, vocabulary, start, ends, chunk   as DecoderFile has them
    """

    step: "nn.Module"
    state: tuple[State, ...]
    context: int
    vocabulary: int
    start: int
    ends: tuple[int, ...]
    encode: "nn.Module | None" = None
    source: int = 0
    chunk: int = 64


class Own(Protocol):
    """What a module may have for itself, each alone or together with the others."""

    def loss(
        self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"], player: str = ""
    ) -> dict[str, "Tensor"]:
        """Means over the rows of a batch: "loss", which is made small, and parts of it, which are shown. Draws
        (dropout, noise) come from torch's global generator, which is seeded."""

    def answer(self, *inputs: "Tensor") -> dict[str, "Tensor"]:
        """The engine's outputs by their names: what is exported in the place of `forward`."""

    def begin(self) -> None:
        """Take over weights that were trained elsewhere: before training, not where a package's own weights are
        loaded. Raises MissingExtra."""

    def material(
        self, train: "Examples", validation: "Examples | None"
    ) -> tuple["Examples", "Examples | None"]:
        """What is learnt from in the place of the splits' own rows, for nets whose rows are not the task's: counts
        of pairs of words. Asked once, before training, always alike."""

    def players(self) -> "Mapping[str, Iterable[nn.Parameter]]":
        """Whose turn it is in a step, one after the other, and which parameters move at it (adversarial nets)."""

    def sketch(
        self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"]
    ) -> Mapping[str, "Tensor"]:
        """Of a few rows, what a report shows besides the answers (`Task.sketched`): reconstructions."""

    def solve(self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"]) -> None:
        """Of a closed form: find the buffers from the whole training split."""

    def decoding(self) -> Decoding:
        """Of a net that answers step by step: what is exported in the place of `answer` or `forward`."""

    def hugging_face(self) -> "tuple[dict[str, Any], dict[str, Tensor]]":
        """config.json and weights of an architecture of transformers' that computes the same."""
