"""Speech recognition: a sound file in, what is said in it out.

Models are of two kinds. Those that are brought read the file themselves and stream (`engines.table.GENERATORS`):
nothing is decoded or fitted here. Those that a recipe trains see a log-mel spectrogram and answer the probabilities
of letters at each step, in batches; their preprocessing has the key `symbols`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import ctc, sounds, spectrograms, transcripts
from modelyard.tasks.answers import NoParameters
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.spectrograms import Spectrogram
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics, Picture
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT: Final = "text"
_TOGETHER: Final = 16  # sounds of one run
_STRETCH: Final = 1.2  # the longest of them to the shortest
_MOST_SYMBOLS: Final = 1000
_MOST_WORDS: Final = 20_000
_LEAST_BEAM: Final = 2  # that a search for words alone needs
_PICTURES: Final = 8


class SpeechOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for speech.

    mels         bands of the spectrogram
    max_seconds  longer sounds are refused
    beam         beginnings that the search for the likeliest letters keeps; 1: the likeliest letter of each step
    words        "any": whatever the letters make; "training": only words of the training transcripts are answered,
                 which a beam of 8 or more looks for
    """

    mels: Annotated[int, msgspec.Meta(ge=8, le=128)] = 64
    max_seconds: Annotated[int, msgspec.Meta(ge=1, le=600)] = 30
    beam: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    words: Literal["any", "training"] = "any"


class PreparedFiles:
    """A `contract.Prepared` for engines that read sound files themselves."""

    def __init__(self, column: str = sounds.COLUMN) -> None:
        self.column = column

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "audio" (or the data set's column): bytes, one file a row. Raises InvalidInput,
        TooLarge."""
        if len(columns) != 1 or not (columns.keys() <= {self.column, sounds.COLUMN}):
            raise InvalidInput(
                "one column of sound files is needed", came=sorted(columns)[:20], allowed=[sounds.COLUMN]
            )
        return {sounds.COLUMN: sounds.files(list(next(iter(columns.values()))))}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {sounds.COLUMN: sounds.files(arrays[sounds.COLUMN].ravel().tolist())}


class PreparedSpeech(PreparedFiles):
    """A `contract.Completing`: spectrograms in, letters out."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        super().__init__(str(preprocessing["column"]))
        self.symbols = [str(symbol) for symbol in preprocessing["symbols"]]
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols) if number != ctc.BLANK}
        self._mels = int(preprocessing["mels"])
        self._most = int(preprocessing["max_seconds"])
        self._beam = int(preprocessing["beam"])
        known = preprocessing.get("vocabulary")
        self._words = ctc.Words([self.spell(word) for word in known], self._numbers[" "]) if known else None
        self._heard: dict[bytes, Spectrogram] = {}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """`spectrogram` FP32 [rows, frames, mels], of which each row uses `frames` INT64 [rows], zeros after them.
        Each band of a sound has the mean 0 and the deviation 1."""
        files = super().transform(arrays)[sounds.COLUMN].tolist()
        return _side_by_side([self._heard.pop(d) if d in self._heard else self._hear([d])[0] for d in files])

    def groups(self, arrays: Mapping[str, Array]) -> list[list[int]]:
        """Rows that are to be computed together: of about one length, so that little of a batch is padding. What is
        decoded here is not decoded again by `transform`."""
        files = super().transform(arrays)[sounds.COLUMN].tolist()
        heard = self._hear(files)
        self._heard = dict(zip(files, heard, strict=True))
        found: list[list[int]] = []
        for row in sorted(range(len(heard)), key=lambda row: len(heard[row])):
            shortest = len(heard[found[-1][0]]) if found else 0
            if not found or len(found[-1]) == _TOGETHER or len(heard[row]) > shortest * _STRETCH + 1:
                found.append([])
            found[-1].append(row)
        return found

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """`text` BYTES [rows] of `log_probabilities` [rows, steps, symbols] and `steps` [rows]."""
        texts = np.empty(len(outputs["steps"]), object)
        for row, (found, steps) in enumerate(
            zip(outputs["log_probabilities"], outputs["steps"], strict=True)
        ):
            used = found[: max(1, int(steps))]
            if not np.isfinite(used).all():
                raise InvalidInput("the model has no finite answer to this sound")
            numbers = ctc.greedy(used) if self._beam == 1 else ctc.beam(used, self._beam, self._words)
            text = "".join(self.symbols[number] for number in numbers)
            texts[row] = " ".join(text.split()).encode()
        return {OUTPUT: texts}

    def spell(self, text: str) -> list[int]:
        """Numbers of the symbols; what no training transcript has is left out."""
        return [self._numbers[c] for c in transcripts.spoken(text) if c in self._numbers]

    def _hear(self, files: list[bytes]) -> list[Spectrogram]:
        found = spectrograms.of_files(files, self._mels, self._most)
        return [spectrograms.levelled(one) for one in found]


class SpeechRecognition(BaseTask):
    """See `contract.Task`."""

    name = "automatic-speech-recognition"
    main_metric = transcripts.MAIN
    higher_is_better = False
    default_net = "crnn"
    target_kind: TargetKind = "other"
    augmentation = "audio"
    options: type[Any] = SpeechOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        there = [f"{c.name} ({c.kind})" for c in schema.columns]
        found = [c.name for c in schema.columns if c.kind == "audio" and c.name != target]
        if len(found) != 1:
            raise InvalidInput(f"{self.name} needs exactly one audio column", came=there)
        column = schema.column(target)
        if column is None or column.kind not in ("text", "category"):
            came = there if column is None else f"{target} ({column.kind})"
            raise InvalidInput(f"{self.name} needs a target of texts", came=came, allowed="text, category")
        return found

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        """The alphabet is that of the training transcripts, and so is the vocabulary where there is one."""
        given = resolve(SpeechOptions, options, "preprocessing")
        target = schema.label or ""
        (column,) = (name for name in columns if name != target)
        texts = transcripts.checked(list(columns[target])).tolist()
        letters = {letter for text in texts for letter in text} | {" "}
        if len(letters) >= _MOST_SYMBOLS:
            raise InvalidInput(
                "the transcripts have too many letters", came=len(letters), allowed=_MOST_SYMBOLS
            )
        vocabulary = sorted(
            {word for text in texts for word in text.split()} if given.words == "training" else ()
        )
        _check_vocabulary(vocabulary, given)
        return {
            "column": column,
            "symbols": ["", *sorted(letters)],
            "vocabulary": vocabulary,
            **msgspec.to_builtins(given),
        }

    def examples(self, prepared: Any, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """`spectrogram` and `frames` as `PreparedSpeech.transform` says; `symbols` int64 [rows, letters] of the
        transcripts, of which each row uses `letters` int64 [rows]."""
        inputs = prepared.transform(prepared.decode(columns))
        if target is None:
            return Examples(inputs=inputs, ragged={"spectrogram": inputs["frames"]})
        spelled = [prepared.spell(text) for text in transcripts.checked(list(target))]
        letters = np.array([len(numbers) for numbers in spelled], np.int64)
        symbols = np.zeros((len(spelled), max(1, int(letters.max()))), np.int64)
        for row, numbers in enumerate(spelled):
            symbols[row, : len(numbers)] = numbers
        return Examples(
            inputs=inputs,
            targets={"symbols": symbols, "letters": letters},
            ragged={"spectrogram": inputs["frames"], "symbols": letters},
        )

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing.get("column", sounds.COLUMN))]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`audio` BYTES [-1] to `text` BYTES [-1]."""
        return Signature(
            inputs=(sounds.input_spec(),), outputs=(TensorSpec(name=OUTPUT, datatype="BYTES", shape=(-1,)),)
        )

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        if "symbols" not in preprocessing:
            return self.signature(preprocessing, labels)
        mels, symbols = int(preprocessing["mels"]), len(preprocessing["symbols"])
        return Signature(
            inputs=(
                TensorSpec(name="spectrogram", datatype="FP32", shape=(-1, -1, mels)),
                TensorSpec(name="frames", datatype="INT64", shape=(-1,)),
            ),
            outputs=(
                TensorSpec(name="log_probabilities", datatype="FP32", shape=(-1, -1, symbols)),
                TensorSpec(name="steps", datatype="INT64", shape=(-1,)),
            ),
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> Prepared:
        return PreparedSpeech(preprocessing) if "symbols" in preprocessing else PreparedFiles()

    def sample(self, inputs: Any) -> dict[str, Any]:
        return sounds.sample(inputs)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """{"text"} a row."""
        resolve(NoParameters, parameters, "parameters")
        return [{OUTPUT: text} for text in _texts(outputs)]

    def targets(self, column: Any, labels: Sequence[str]) -> npt.NDArray[np.object_]:
        return transcripts.checked(list(column))

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return transcripts.figures(_texts(outputs), targets.tolist())

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        wrong, words = self.counts(outputs, targets)
        return float(wrong.sum() / words.sum())

    def counts(
        self, outputs: Mapping[str, Array], targets: Array
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """See `contract.Counting`: wrong words, and words."""
        return transcripts.word_errors(_texts(outputs), targets.tolist())

    def exhibits(
        self, predict: Predict, prepared: Any, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """What was said beside what was heard, and spectrograms of some."""
        (target,) = (name for name in columns if name != prepared.column)
        arrays = prepared.decode({prepared.column: list(columns[prepared.column])})
        heard = _texts(predict(arrays))
        said = transcripts.checked(list(columns[target])).tolist()
        rows = tuple((a, b, "" if a == b else "differs") for a, b in zip(said, heard, strict=True))
        seen = prepared.transform({sounds.COLUMN: arrays[sounds.COLUMN][:_PICTURES]})
        pictures = tuple(
            Picture(png=spectrograms.picture(one[: int(frames)]), caption=f"said: {a}; heard: {b}")
            for one, frames, a, b in zip(
                seen["spectrogram"], seen["frames"], said[:_PICTURES], heard[:_PICTURES], strict=True
            )
        )
        return (
            Exhibit(title="What was said and what was heard", header=("said", "heard", ""), rows=rows),
            Exhibit(title="Sounds as the net sees them", note="Time to the right.", pictures=pictures),
        )

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {
            "optimizer": "adamw",
            "learning_rate": 0.002,
            "schedule": {"name": "cosine", "warmup": 0.05},
            "batch_size": 16,
            "weight_decay": 0.01,
            "clip_norm": 5.0,
        }
        return {"preprocessing": {}, "training": training, "evaluation": {}}


def _check_vocabulary(words: list[str], given: SpeechOptions) -> None:
    if len(words) > _MOST_WORDS:
        raise InvalidInput("the transcripts have too many words", came=len(words), allowed=_MOST_WORDS)
    if words and given.beam < _LEAST_BEAM:
        raise InvalidInput(
            "preprocessing.words: training needs a beam",
            came=given.beam,
            allowed=f"beam: {_LEAST_BEAM} or more",
        )


def _side_by_side(found: list[Spectrogram]) -> dict[str, Array]:
    frames = np.array([len(one) for one in found], np.int64)
    out = np.zeros((len(found), int(frames.max()), found[0].shape[1]), np.float32)
    for row, one in enumerate(found):
        out[row, : len(one)] = one
    return {"spectrogram": out, "frames": frames}


def _texts(outputs: Mapping[str, Array]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in outputs[OUTPUT].tolist()]


TASK = SpeechRecognition()
