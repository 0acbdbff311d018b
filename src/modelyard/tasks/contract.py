"""What a task is: one file that says what a sample, an answer and a good answer are.

A task holds no state. What was fitted on the training split is the `preprocessing` dict (JSON values only),
which lies in the package, so that training, evaluation and serving run the same code with the same numbers.

    dataset columns or a caller's value ──sample──▶ columns ──decode──▶ arrays ──transform──▶ tensors ──▶
    engine answers ◀──encode── outputs ◀── engine

`arrays` are what `signature` says (the Open Inference Protocol feeds them directly), `tensors` what
`tensors` says. Serving calls `prepare` once and then the `Prepared`'s methods; `decode` and `transform` of
the task are the same for callers that do it once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature

Array = npt.NDArray[Any]
Columns = Mapping[str, Any]
"""Column name -> values (a list or an array), one a row."""
TargetKind = Literal["class", "number", "other", "none"]
"""What a recipe's target is: one of the labels; a number; anything else (a text, boxes, a list); or none, where a
model learns from its own inputs."""
Predict = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Arrays of a signature's inputs to its outputs."""
EXHIBITED: Final = 64


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows of a split, as a net is trained on them.

    inputs   the engine's tensors by their names, [rows, ...]; more where training needs more
    targets  what the loss compares with, [rows, ...]: "target" int64 class numbers or float64 values, or the task's
             own
    ragged   name of an array above -> how much of its second axis each row uses, int64 [rows]; the rest is padding,
             of which a batch needs no more than its longest row has
    """

    inputs: Mapping[str, Array]
    targets: Mapping[str, Array] = field(default_factory=dict)
    ragged: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def lengths(self) -> Array | None:
        """What a row costs, where rows are of several lengths: the sum of all that is ragged, int64 [rows]."""
        return np.sum(list(self.ragged.values()), axis=0) if self.ragged else None

    def take(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """These rows, without the padding that none of them needs."""
        used = {name: lengths[rows] for name, lengths in self.ragged.items()}

        def taken(named: Mapping[str, Array]) -> dict[str, Array]:
            return {
                name: array[rows, : max(1, int(used[name].max(initial=1)))] if name in used else array[rows]
                for name, array in named.items()
            }

        return Examples(inputs=taken(self.inputs), targets=taken(self.targets), ragged=used)

    def part(self, most: int) -> "Examples":
        """At most this many rows, evenly spaced."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).astype(np.int64))


def joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Outputs of several batches as those of one. Where their second axes differ, as those of rows of several
    lengths do, shorter ones are filled up with zeros: a net answers zeros for padding too."""
    return {name: _stacked([part[name] for part in parts]) for name in parts[0]}


def _stacked(arrays: list[Array]) -> Array:
    longest = max(array.shape[1] if array.ndim > 1 else 0 for array in arrays)
    return np.concatenate([array if array.ndim < 2 else _filled(array, longest) for array in arrays])


def _filled(array: Array, length: int) -> Array:
    short = length - array.shape[1]
    return array if not short else np.pad(array, [(0, 0), (0, short), *[(0, 0)] * (array.ndim - 2)])


class Prepared(Protocol):
    """Preprocessing with its arrays laid out for speed. Immutable, so threads may share it."""

    def decode(self, columns: Columns) -> dict[str, Array]:
        """Values into the arrays of `signature`'s inputs, each [rows, ...], rows >= 1.

        Raises InvalidInput (missing or extra columns, unequal lengths, values of a wrong kind) or TooLarge.
        """

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of `signature`'s inputs into the engine's tensors. Raises InvalidInput on values or
        shapes that the engine cannot be given, so that it is safe on arrays that did not come from
        `decode`."""


class Completing(Prepared, Protocol):
    """A `Prepared` whose answers need more than the engine's outputs: what was asked, or a file of the package."""

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of `signature`'s inputs and the engine's outputs for them into `signature`'s outputs; more may
        come with them, for `Task.metrics`. Raises InvalidInput."""


@runtime_checkable
class Compared(Protocol):
    """A `Task` with a simple way to answer that its models are to beat."""

    def baseline(self, train: Columns, columns: Columns, prepared: Prepared) -> dict[str, float]:
        """Figures of that way, fitted on the training split's columns, on those of the split that is measured; they
        stand beside the model's. The target's column is among them."""


@runtime_checkable
class Depicting(Prepared, Protocol):
    """A `Prepared` of a task whose answers are judged."""

    def pixels(self, columns: Columns) -> Array:
        """A data set's images as answers are to be like them, uint8 [rows, height, width, channels]."""


@runtime_checkable
class Counting(Protocol):
    """A task whose main figure is a share of counts over rows, as wrong words of all words: a bootstrap then asks
    once and not a thousand times."""

    def counts(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Both [rows]; `main` is the first one's sum by the second one's."""


@runtime_checkable
class Spanning(Protocol):
    """A task whose samples are made of several rows of a data set each: stretches of a series."""

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]: ...

    def samples(
        self, columns: Columns, split: str, preprocessing: Mapping[str, Any]
    ) -> tuple[Mapping[str, Array], Array]:
        """The samples of a split as columns for `decode`, and what answers to them are compared with; both
        [samples, ...], of which there may be none.

        `columns` has all rows of all splits (a sample may reach back into those before), with
        types.dataset.SPLIT_COLUMN.
        Raises InvalidInput, TooLarge.
        """


class Task(Protocol):
    """One file in tasks/, one line in tasks.TASKS."""

    @property
    def name(self) -> str:
        """As Hugging Face names it, as "image-classification"."""

    @property
    def main_metric(self) -> str:
        """The key in `Metrics.values` that models of this task are compared by."""

    @property
    def higher_is_better(self) -> bool: ...

    @property
    def default_net(self) -> str:
        """Empty where no recipe trains it: models of this task are brought."""

    @property
    def target_kind(self) -> TargetKind: ...

    @property
    def augmentation(self) -> str:
        """The kind that a recipe's `training.augmentation` means where it names none: "images", "text" or "audio",
        of training/augment/. Empty: none."""

    @property
    def judged(self) -> bool:
        """Whether answers are images that a judge looks at before they are measured (`engines.judge`): the outputs
        that `metrics` and `main` get are then its opinions."""

    @property
    def media(self) -> str:
        """The content type of an answer, where `encode` gives bytes."""

    @property
    def options(self) -> type[Any]:
        """The frozen msgspec struct that a recipe's `preprocessing` section is read into."""

    def check(self, schema: Schema, target: str) -> list[str]:
        """Names of the feature columns, in the schema's order. For a `target_kind` of "none", `target` is "" where
        the recipe and the data set name none.

        Raises InvalidInput naming what is there and what is needed.
        """

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        """Preprocessing from the training split alone: the columns that `check` named, and the target's where the
        kind is "other"; `schema.label` is the target. JSON values only. What is too large for JSON (a tokenizer) is
        written into `folder`, the package's.

        Training adds the key `target`, the name of the column to predict, and for numbers `target_mean` and
        `target_std`.
        """

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """Rows to train on: the feature columns, and the target's values (None where there is no target)."""

    def class_names(self, target: Any) -> Sequence[str]:
        """Of a target of kind "other": the classes that all its values name, in the order of their numbers; empty
        where there are none."""

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        """Names of the data set's columns that `decode` needs."""

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """What callers send and get."""

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """What the engine is fed and answers."""

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> Prepared:
        """Preprocessing made ready for many calls. `folder` is the package's, for tasks that keep a file there (a
        tokenizer)."""

    def sample(self, inputs: Any) -> dict[str, Any]:
        """A caller's JSON value or raw bytes into columns for `decode`. Raises InvalidInput."""

    def decode(self, columns: Columns, preprocessing: Mapping[str, Any]) -> dict[str, Array]:
        """`prepare(preprocessing).decode(columns)`."""

    def transform(self, arrays: Mapping[str, Array], preprocessing: Mapping[str, Any]) -> dict[str, Array]:
        """`prepare(preprocessing).transform(arrays)`."""

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """The engine's outputs as JSON values, one answer a row. Raises InvalidInput (UnknownName) on
        parameters that the task does not have."""

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """The target column as `metrics` compares it, [rows]: int64 class numbers, float64 values, or objects.
        Raises InvalidInput on missing values and on classes that are not in `labels`."""

    def metrics(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic], labels: Sequence[str]
    ) -> Metrics:
        """Every figure and picture of the task, of at least one row."""

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        """`main_metric` alone, cheap: a bootstrap calls it a thousand times."""

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """What a report's page shows besides figures, of a split's first rows (`EXHIBITED` at most; the target's
        column among them): answers beside truths, pictures, neighbours."""

    def sketched(
        self, sketches: Mapping[int, Mapping[str, Array]], examples: Examples, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """What a report shows of how answers became what they are: epoch -> the engine's outputs for the rows of
        `examples`, and what the module's own `sketch` gives. At least one epoch."""

    def default_recipe(self, net: str) -> dict[str, Any]:
        """The parts of a recipe that were not given: {"preprocessing", "training", "evaluation"}."""
