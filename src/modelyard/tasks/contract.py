"""What a task is: one file that says what a sample, an answer and a good answer are.

A task holds no state. What was fitted on the training split is the `preprocessing` dict (JSON values only),
which lies in the package, so that training, evaluation and serving run the same code with the same numbers.

    dataset columns or a caller's value ──sample──▶ columns ──decode──▶ arrays ──transform──▶ tensors ──▶
    engine answers ◀──encode── outputs ◀── engine

`arrays` are what `signature` says (the Open Inference Protocol feeds them directly), `tensors` what
`tensors` says. Serving calls `prepare` once and then the `Prepared`'s methods; `decode` and `transform` of
the task are the same for callers that do it once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import Signature

Array = npt.NDArray[Any]
Columns = Mapping[str, Any]
"""Column name -> values (a list or an array), one a row."""


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
    def target_kind(self) -> Literal["class", "number"]: ...

    @property
    def options(self) -> type[Any]:
        """The frozen msgspec struct that a recipe's `preprocessing` section is read into."""

    def check(self, schema: Schema, target: str) -> list[str]:
        """Names of the feature columns, in the schema's order.

        Raises InvalidInput naming what is there and what is needed.
        """

    def fit(self, columns: Columns, schema: Schema, options: Mapping[str, Any]) -> dict[str, Any]:
        """Preprocessing from the training split alone: the columns that `check` named. JSON values only.

        Training adds the key `target`, the name of the column to predict, and for numbers `target_mean` and
        `target_std`.
        """

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
        """The target column as int64 class numbers or float64 values, [rows]. Raises InvalidInput on missing
        values and on classes that are not in `labels`."""

    def metrics(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic], labels: Sequence[str]
    ) -> Metrics:
        """Every figure and picture of the task, of at least one row."""

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        """`main_metric` alone, cheap: a bootstrap calls it a thousand times."""

    def default_recipe(self, net: str) -> dict[str, Any]:
        """The parts of a recipe that were not given: {"preprocessing", "training", "evaluation"}."""
