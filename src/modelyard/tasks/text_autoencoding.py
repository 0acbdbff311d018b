"""Text autoencoding: a text in, what a code of a few numbers kept of it out; also the ways between two texts, and
the text of a code. Served by the decoding engine.

Its preprocessing, JSON values as everywhere:
    column             the data set's column of texts
    tokenizer          the package's file
    vocabulary, pad, start, end, unknown, between, vector   how many tokens it has, and which are special
    source, context    most tokens that are read, and written
    latent             numbers of a code

What is read is one row of tokens: a text and its end; two of them and how far to go from the first to the second,
in percent; or a code, each number as one of LEVELS tokens.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import subwords, texts
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.text_codes import COLUMNS, SPECIAL, PreparedCodes
from modelyard.tasks.vocabulary import text_column
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT: Final = "generated_text"
_SHOWN: Final = 12
_WALKS, _STEPS = 4, 6
_MOST: Final = 64


class AutoencodingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`preprocessing` of a recipe.

    vocabulary  tokens: subwords of bytes, which are fitted
    max_length  tokens of a text; longer ones are not learnt from, and cut when they are read
    latent      numbers of a code
    """

    vocabulary: Annotated[int, msgspec.Meta(ge=300, le=65_536)] = 8000
    max_length: Annotated[int, msgspec.Meta(ge=4, le=256)] = 32
    latent: Annotated[int, msgspec.Meta(ge=1, le=256)] = 32


class TextAutoencoding(BaseTask):
    """See `contract.Task`."""

    name = "text-autoencoding"
    main_metric = "words_kept"
    default_net = "text_vae"
    target_kind: TargetKind = "none"
    options: type[Any] = AutoencodingOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        return [text_column(schema, target, self.name)]

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = resolve(self.options, options, "preprocessing")
        (column,) = columns
        learnt = subwords.texts_of(columns[column], column)
        form = f"$A {SPECIAL['end']}"
        tokenizer = subwords.fit(learnt, given.vocabulary, tuple(SPECIAL.values()), folder, form)
        return {
            "column": column,
            "tokenizer": texts.TOKENIZER,
            "vocabulary": tokenizer.get_vocab_size(),
            **{name: tokenizer.token_to_id(token) for name, token in SPECIAL.items()},
            "source": max(2 * given.max_length + 3, given.latent + 1),
            "context": given.max_length + 1,
            "max_length": given.max_length,
            "latent": given.latent,
        }

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        assert isinstance(prepared, PreparedCodes)
        return prepared.examples(columns)

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing["column"])]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`text` BYTES [-1] to `generated_text` BYTES [-1]."""
        output = TensorSpec(name=OUTPUT, datatype="BYTES", shape=(-1,))
        return Signature(inputs=(texts.input_spec(),), outputs=(output,))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return subwords.next_token_tensors(int(preprocessing["vocabulary"]))

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedCodes:
        return PreparedCodes(preprocessing, folder)

    def sample(self, inputs: Any) -> dict[str, Any]:
        """A text, a list of texts; {"text", "other"} with a `share` of 0..1 or, for as many texts on the way,
        `steps`; {"vector": codes}. Raises InvalidInput."""
        if isinstance(inputs, Mapping) and inputs.keys() == {"data"}:
            inputs = inputs["data"]
        if not isinstance(inputs, Mapping) or not inputs.keys() & {"other", "vector"}:
            return texts.sample(inputs)
        if not inputs.keys() <= COLUMNS:
            raise InvalidInput("other columns", came=sorted(map(str, inputs))[:20], allowed=sorted(COLUMNS))
        if "vector" in inputs:
            found = inputs["vector"]
            one = isinstance(found, list) and bool(found) and not isinstance(found[0], list)
            return {**inputs, "vector": [found] if one else found}
        columns = {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
        if "steps" in columns:
            return _stepped(columns)
        rows = len(columns.get("text", []))
        return {"share": [0.5] * rows, **columns}

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """{"generated_text"} a row."""
        return [{OUTPUT: text} for text in _texts(outputs[OUTPUT])]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """Zeros: a text is compared with itself, which comes with the outputs (`PreparedCodes.complete`)."""
        return np.zeros(len(column))

    def metrics(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic], labels: Sequence[str]
    ) -> Metrics:
        """Shares of the texts' words that come back, and, to compare with, that are in what comes back for another
        text: what all texts have in common."""
        answers, due = _texts(outputs[OUTPUT]), _texts(outputs[texts.COLUMN])
        values = {
            "words_kept": _kept(answers, due),
            "words_kept_of_others": _kept(answers[1:] + answers[:1], due),
            "exact": float(np.mean([a.split() == b.split() for a, b in zip(answers, due, strict=True)])),
            "length_ratio": sum(map(len, answers)) / max(1, sum(map(len, due))),
        }
        return Metrics(main=self.main_metric, higher_is_better=True, values=values)

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        return _kept(_texts(outputs[OUTPUT]), _texts(outputs[texts.COLUMN]))

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """Texts with what comes back, and ways between them."""
        assert isinstance(prepared, PreparedCodes)
        shown = [str(text) for text in columns[prepared.column][:_SHOWN]]
        back = _texts(predict(prepared.decode({texts.COLUMN: shown}))[OUTPUT])
        pairs = list(zip(shown[0::2], shown[1::2], strict=False))[:_WALKS]
        walks = tuple(
            (f"{share:.0%}", text)
            for pair in pairs
            for share, text in zip(_shares(_STEPS), self._between(predict, prepared, pair), strict=True)
        )
        random = np.random.default_rng(0).standard_normal((_SHOWN, prepared.latent))
        made = _texts(predict(prepared.decode({"vector": random.tolist()}))[OUTPUT])
        return (
            Exhibit(title="Texts and what comes back", header=("text", "rebuilt"),
                    rows=tuple(zip(shown, back, strict=True))),
            Exhibit(title="Ways between two texts", header=("of the way", "text"), rows=walks),
            Exhibit(title="Texts of codes that were drawn", header=("text",), rows=tuple((t,) for t in made)),
        )  # fmt: skip

    def _between(self, predict: Predict, prepared: PreparedCodes, pair: tuple[str, str]) -> list[str]:
        asked = self.sample({"text": pair[0], "other": pair[1], "steps": _STEPS})
        return _texts(predict(prepared.decode(asked))[OUTPUT])

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {"optimizer": "adam", "learning_rate": 0.002, "batch_size": 64, "clip_norm": 5.0}
        return {"preprocessing": {}, "training": training, "evaluation": {"bootstrap": 200}}


def _stepped(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Of one pair: a row for each of so many steps."""
    steps = columns["steps"][0] if len(columns["steps"]) == 1 else None
    if type(steps) is not int or not 2 <= steps <= _MOST:
        raise InvalidInput(
            "steps is a whole number", came=str(columns["steps"])[:40], allowed=f"2 to {_MOST}"
        )
    if "share" in columns or any(len(columns.get(name, ())) != 1 for name in ("text", "other")):
        raise InvalidInput(
            "steps go from one text to one other", came=sorted(columns), allowed="text, other, steps"
        )
    return {"text": columns["text"] * steps, "other": columns["other"] * steps, "share": _shares(steps)}


def _shares(steps: int) -> list[float]:
    return [float(share) for share in np.linspace(0, 1, steps)]


def _texts(column: Array) -> list[str]:
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in column]


def _kept(answers: Sequence[str], due: Sequence[str]) -> float:
    """The share of all words that are in the answer as often."""
    words = [
        (text.lower().split(), answer.lower().split()) for answer, text in zip(answers, due, strict=True)
    ]
    found = sum(sum(min(text.count(w), answer.count(w)) for w in set(text)) for text, answer in words)
    return found / max(1, sum(len(text) for text, _ in words))


TASK = TextAutoencoding()
