"""Speech recognition: a sound file in, what is said in it out. Served by generators; its models are brought.

The engine reads the files itself (their containers, rates and channels): nothing is decoded here.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import numpy as np

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks.answers import NoParameters
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, TargetKind
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import Signature, TensorSpec

COLUMN: Final = "audio"
OUTPUT: Final = "text"
MOST_BYTES: Final = 64 << 20
_ALLOWED: Final = "a sound file's bytes, or base64 of them"


class SpeechOptions(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to fit: the model comes as it is."""


class PreparedSpeech:
    """A `contract.Prepared` for engines that read sound files themselves."""

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has `audio`: bytes, one file a row. Raises InvalidInput, TooLarge."""
        if columns.keys() != {COLUMN}:
            raise InvalidInput(
                "one column of sound files is needed", came=sorted(columns)[:20], allowed=[COLUMN]
            )
        return {COLUMN: _files(list(columns[COLUMN]))}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {COLUMN: _files(arrays[COLUMN].tolist())}


class SpeechRecognition(BaseTask):
    """See `contract.Task`."""

    name = "automatic-speech-recognition"
    main_metric = "none"
    target_kind: TargetKind = "number"
    options: type[Any] = SpeechOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        raise InvalidInput(
            f"models of the task {self.name!r} are brought, not trained by a recipe",
            allowed="yard models import",
        )

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        raise InvalidInput(f"the task {self.name!r} has nothing to fit")

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [COLUMN]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`audio` BYTES [-1] to `text` BYTES [-1]."""
        return Signature(
            inputs=(TensorSpec(name=COLUMN, datatype="BYTES", shape=(-1,)),),
            outputs=(TensorSpec(name=OUTPUT, datatype="BYTES", shape=(-1,)),),
        )

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return self.signature(preprocessing, labels)

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedSpeech:
        return PreparedSpeech()

    def sample(self, inputs: Any) -> dict[str, Any]:
        """A sound file's bytes, base64 of them, a list of either, or {"audio": ...}."""
        if isinstance(inputs, Mapping) and inputs.keys() == {COLUMN}:
            inputs = inputs[COLUMN]
        several = inputs if isinstance(inputs, list) else [inputs]
        return {COLUMN: [_from_json(one) for one in several]}

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """{"text"} a row."""
        resolve(NoParameters, parameters, "parameters")
        return [{OUTPUT: value.decode("utf-8", "replace")} for value in outputs[OUTPUT].tolist()]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        return _no_evaluation()

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return _no_evaluation()

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return _no_evaluation()


def _from_json(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise InvalidInput("this is no sound file", came=type(value).__name__, allowed=_ALLOWED)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("a sound file as text must be base64", came=value[:40]) from None


def _files(values: list[Any]) -> Array:
    out = np.empty(len(values), object)
    for row, value in enumerate(values):
        if not isinstance(value, bytes) or not value:
            raise InvalidInput(f"row {row} is no sound file", came=type(value).__name__, allowed=_ALLOWED)
        if len(value) > MOST_BYTES:
            raise TooLarge(
                f"the sound file of row {row}", came=f"{len(value):,} bytes", allowed=f"{MOST_BYTES:,} bytes"
            )
        out[row] = value
    if not values:
        raise InvalidInput("there is no sound file", allowed=_ALLOWED)
    return out


def _no_evaluation() -> NoReturn:
    raise InvalidInput("speech recognition is not evaluated here: a word error rate needs rules of spelling")


TASK = SpeechRecognition()
