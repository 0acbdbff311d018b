"""Translation: a text in one language in, the same in another out. Served by the decoding engine.

Its preprocessing, JSON values as everywhere:
    column, target     the data set's columns of texts and of their translations; also the languages' names
    tokenizer          the package's file, of both languages
    vocabulary, pad, start, end   how many tokens it has, and which ones fill up, begin and end
    source, context    most tokens of a text, and of its translation
    num_beams, length_penalty   of the search, where a caller says nothing
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import bleu, subwords, texts
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.translating import Beams, Penalty, PreparedTranslation
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT: Final = "translation_text"
PAD, START, END = "<pad>", "<s>", "</s>"
_SHOWN: Final = 16


class TranslationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`preprocessing` of a recipe.

    vocabulary      tokens of both languages: subwords of bytes, which are fitted
    max_length      tokens of a text, and of its translation; longer pairs are not learnt from
    num_beams       sequences that the search keeps; 1: the likeliest token at each place
    length_penalty  above 1 for longer translations
    """

    vocabulary: Annotated[int, msgspec.Meta(ge=300, le=65_536)] = 8000
    max_length: Annotated[int, msgspec.Meta(ge=4, le=1024)] = 128
    num_beams: Beams = 4
    length_penalty: Penalty = 1.0


class Translation(BaseTask):
    """See `contract.Task`."""

    name = "translation"
    main_metric = "bleu"
    default_net = "seq2seq_transformer"
    target_kind: TargetKind = "other"
    options: type[Any] = TranslationOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        """The other column of texts."""
        there = [f"{column.name} ({column.kind})" for column in schema.columns]
        kinds = {column.name: column.kind for column in schema.columns}
        if kinds.get(target) not in ("text", "category"):
            raise InvalidInput(
                "translations are a column of texts", came=there, allowed="recipe.target: its name"
            )
        others = [n for n, kind in kinds.items() if n != target and kind in ("text", "category")]
        found = [name for name in others if kinds[name] == "text"] or others
        if len(found) != 1:
            raise InvalidInput("translation needs one column of texts besides the target", came=there)
        return found

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        """One tokenizer of both languages, which share names and numbers."""
        given = resolve(self.options, options, "preprocessing")
        (column,) = [name for name in columns if name != schema.label]
        learnt = [text for name in columns for text in subwords.texts_of(columns[name], name)]
        tokenizer = subwords.fit(learnt, given.vocabulary, (PAD, START, END), folder, f"$A {END}")
        return {
            "column": column,
            "tokenizer": texts.TOKENIZER,
            "vocabulary": tokenizer.get_vocab_size(),
            "pad": tokenizer.token_to_id(PAD),
            "start": tokenizer.token_to_id(START),
            "end": tokenizer.token_to_id(END),
            "source": given.max_length,
            "context": given.max_length + 1,
            "num_beams": given.num_beams,
            "length_penalty": given.length_penalty,
        }

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """See `PreparedTranslation.examples`."""
        assert isinstance(prepared, PreparedTranslation)
        return prepared.examples(columns, target)

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing["column"])]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`text` BYTES [-1] to `translation_text` BYTES [-1]."""
        output = TensorSpec(name=OUTPUT, datatype="BYTES", shape=(-1,))
        return Signature(inputs=(texts.input_spec(),), outputs=(output,))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return subwords.next_token_tensors(int(preprocessing["vocabulary"]))

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedTranslation:
        return PreparedTranslation(preprocessing, folder)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return texts.sample(inputs)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """{"translation_text"} a row. Parameters were the search's."""
        return [{OUTPUT: _text(value)} for value in outputs[OUTPUT].tolist()]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """Texts, objects [rows]."""
        found = np.empty(len(column), object)
        found[:] = subwords.texts_of(column, "target")
        return found

    def metrics(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic], labels: Sequence[str]
    ) -> Metrics:
        """See `bleu.figures`."""
        values = bleu.figures(_answers(outputs), [str(text) for text in targets.tolist()])
        return Metrics(main=self.main_metric, higher_is_better=True, values=values)

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        return bleu.bleu(_answers(outputs), [str(text) for text in targets.tolist()])

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """Texts with their translations, by the model and as they are due."""
        assert isinstance(prepared, PreparedTranslation)
        shown = {name: columns[name][:_SHOWN].tolist() for name in (prepared.column, prepared.target)}
        written = predict(prepared.decode({prepared.column: shown[prepared.column]}))[OUTPUT].tolist()
        rows = tuple(
            (text, _text(answer), due)
            for text, answer, due in zip(shown[prepared.column], written, shown[prepared.target], strict=True)
        )
        return (
            Exhibit(
                title="Translations",
                note=f"BLEU is sacrebleu's: {bleu.signature()}",
                header=(prepared.column, "model", prepared.target),
                rows=rows,
            ),
        )

    def default_recipe(self, net: str) -> dict[str, Any]:
        return {
            "preprocessing": {},
            "training": {
                "learning_rate": 0.001,
                "schedule": {"name": "cosine", "warmup": 0.1},
                "batch_size": 64,
                "weight_decay": 0.01,
                "clip_norm": 1.0,
                "epochs": 20,
                "early_stopping": {"patience": 3},
            },
            "evaluation": {},
        }


def _answers(outputs: Mapping[str, Array]) -> list[str]:
    return [_text(value) for value in outputs[OUTPUT].tolist()]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


TASK: Final = Translation()
