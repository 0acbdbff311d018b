"""Audio classification: one sound in, a probability for each class out. Nets see its log-mel spectrogram."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import sounds, spectrograms
from modelyard.tasks.answers import check_class_target
from modelyard.tasks.class_task import ClassTask
from modelyard.tasks.contract import Array, Columns, Predict
from modelyard.tasks.options import resolve
from modelyard.tasks.spectrograms import Spectrogram
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Picture
from modelyard.types.tensor import Signature, TensorSpec

INPUT: Final = "spectrogram"
_SAMPLED: Final = 2000  # sounds that lengths and moments are taken from, evenly spaced
_LONGEST: Final = 10.0  # seconds that a net sees, where nothing is said
_SHOWN: Final = 12


class SoundOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for sounds.

    seconds      of a sound that the net sees; None: what 95 of 100 training sounds have, at most 10. Of a longer
                 sound it sees the loudest stretch, a shorter one stands in the middle of silence
    mels         bands of the spectrogram
    trim         decibels below the loudest frame that count as silence, which is cut off at a sound's ends; None:
                 nothing is
    max_seconds  longer sounds are refused
    """

    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] | None = None
    mels: Annotated[int, msgspec.Meta(ge=8, le=128)] = 64
    trim: Annotated[float, msgspec.Meta(gt=0, le=200)] | None = 35.0
    max_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60


class PreparedSounds:
    """Sound files into float32 [rows, frames, mels]."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self.column = str(preprocessing["column"])
        self._frames = int(preprocessing["frames"])
        self._mels = int(preprocessing["mels"])
        self._trim = preprocessing["trim"]
        self._most = int(preprocessing["max_seconds"])

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "audio" (or the data set's column): sound files, one a row."""
        return {sounds.COLUMN: sounds.files(_only(columns, self.column))}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Each band of a sound has the mean 0 and the deviation 1, and so has the silence around it 0."""
        if arrays.keys() != {sounds.COLUMN}:
            raise InvalidInput("one input is needed", came=sorted(arrays), allowed=[sounds.COLUMN])
        files = sounds.files(arrays[sounds.COLUMN].ravel().tolist()).tolist()
        found = spectrograms.of_files(files, self._mels, self._most)
        return {INPUT: np.stack([self._laid_out(one) for one in found])}

    def _laid_out(self, spectrogram: Spectrogram) -> Spectrogram:
        return spectrograms.fitted(spectrograms.levelled(cut(spectrogram, self._trim)), self._frames)


class AudioClassification(ClassTask):
    """See `contract.Task`."""

    name = "audio-classification"
    default_net = "cnn"
    augmentation = "audio"
    options = SoundOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        found = [c.name for c in schema.columns if c.kind == "audio" and c.name != target]
        if len(found) != 1:
            there = [f"{c.name} ({c.kind})" for c in schema.columns]
            raise InvalidInput(f"{self.name} needs exactly one audio column", came=there)
        check_class_target(schema, target, self.name)
        return found

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = resolve(SoundOptions, options, "preprocessing")
        (column,) = columns
        files = sounds.files(_evenly(list(columns[column]))).tolist()
        found = [cut(one, given.trim) for one in spectrograms.of_files(files, given.mels, given.max_seconds)]
        lengths = [len(one) for one in found]
        seconds = given.seconds or min(_LONGEST, float(np.quantile(lengths, 0.95)) / spectrograms.A_SECOND)
        frames = max(1, round(seconds * spectrograms.A_SECOND))
        laid_out = np.stack([spectrograms.fitted(spectrograms.levelled(one), frames) for one in found])
        return {
            "column": column,
            "frames": frames,
            "mels": given.mels,
            "trim": given.trim,
            "max_seconds": given.max_seconds,
            "mean": float(laid_out.mean()),
            "std": max(float(laid_out.std()), 1e-3),
        }

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [preprocessing["column"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`audio` BYTES [-1], a sound file each, to `probabilities` FP32 [-1, classes]."""
        return Signature(inputs=(sounds.input_spec(),), outputs=_outputs(labels))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        shape = (-1, int(preprocessing["frames"]), int(preprocessing["mels"]))
        return Signature(
            inputs=(TensorSpec(name=INPUT, datatype="FP32", shape=shape),), outputs=_outputs(labels)
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedSounds:
        return PreparedSounds(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return sounds.sample(inputs)

    def exhibits(
        self, predict: Predict, prepared: Any, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """Spectrograms as the net sees them, with what is said in them and what was answered."""
        (target,) = (name for name in columns if name != prepared.column)
        rows = len(columns[target])
        picked = np.linspace(0, rows - 1, min(rows, _SHOWN)).astype(
            np.int64
        )  # rows often come class by class
        arrays = prepared.decode({prepared.column: [columns[prepared.column][row] for row in picked]})
        seen, found = prepared.transform(arrays)[INPUT], predict(arrays)["probabilities"]
        pictures = tuple(
            Picture(
                png=spectrograms.picture(one),
                caption=f"{truth}: answered {labels[int(scores.argmax())]} ({float(scores.max()):.0%})",
            )
            for one, truth, scores in zip(seen, [columns[target][row] for row in picked], found, strict=True)
        )
        note = "Time goes to the right, pitch upwards. The caption says what it is and what was answered."
        return (Exhibit(title="Sounds as the net sees them", note=note, pictures=pictures),)

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {
            "optimizer": "adamw",
            "learning_rate": 0.002,
            "schedule": {"name": "cosine", "warmup": 0.05},
            "batch_size": 64,
            "weight_decay": 0.01,
        }
        return {"preprocessing": {}, "training": training, "evaluation": {}}


def cut(spectrogram: Spectrogram, decibels: float | None) -> Spectrogram:
    """Without the silence at both ends, where that is asked for."""
    return spectrogram if decibels is None else spectrograms.trimmed(spectrogram, decibels)


def _only(columns: Columns, name: str) -> list[Any]:
    if len(columns) != 1 or not (columns.keys() <= {name, sounds.COLUMN}):
        raise InvalidInput(
            "one column of sound files is needed", came=sorted(columns)[:20], allowed=[sounds.COLUMN]
        )
    return list(next(iter(columns.values())))


def _evenly(values: list[Any]) -> list[Any]:
    if any(value is None for value in values):
        missing = sum(value is None for value in values)
        raise InvalidInput("the audio column has missing values", came=f"{missing} of {len(values)} rows")
    if not values:
        raise InvalidInput("the training split has no rows")
    picked = np.linspace(0, len(values) - 1, min(len(values), _SAMPLED)).astype(np.int64)
    return [values[k] for k in picked]


def _outputs(labels: Sequence[str]) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name="probabilities", datatype="FP32", shape=(-1, len(labels))),)


TASK = AudioClassification()
