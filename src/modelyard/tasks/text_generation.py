"""Text generation: a text in, what follows it out. Served by generators; trained from nothing, or on from a base.

Its preprocessing, JSON values as everywhere:
    context          most tokens of a text and its answer together
    chat_template    the package's file of it; absent where the model was trained on no conversations
Of models that were trained here from nothing, besides:
    column, tokenizer, vocabulary   the data set's column of texts; the package's file; how many tokens it has
    start            the token that begins and ends a text
    bos_token, eos_token   its name

Its outputs, when a version is evaluated, are sums over a document, each FP64 [rows]. Of a model that was trained
here from nothing: `loss` in nats and the `tokens` that is of; the targets are characters. Of fine-tuning: `loss`,
and `loss_before`; the targets are the tokens that were counted.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import subwords, texts
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.plain_texts import PROMPT, PlainTexts
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT = "generated_text"
END: Final = "<|endoftext|>"
Form = Literal["chat", "completion", "text"]
_SHOWN: Final = 8  # texts of a report that are gone on from
_BEGINNING: Final = 120  # characters of them


class LanguageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`preprocessing` of a recipe without a base.

    vocabulary  tokens: subwords of bytes, which are fitted; 257 is each byte by itself
    context     tokens of a window of text, which is the most that the model ever looks at
    """

    vocabulary: Annotated[int, msgspec.Meta(ge=257, le=65_536)] = 2048
    context: Annotated[int, msgspec.Meta(ge=8, le=8192)] = 256


class GenerationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns of a data set are learnt from.

    form      "chat": `messages`, JSON lists of {"role", "content"}; "completion": `prompt` and `completion`;
              "text": `text` alone. None: the first of these whose columns are there
    """

    form: Form | None = None
    messages: str = "messages"
    prompt: str = "prompt"
    completion: str = "completion"
    text: str = "text"

    def columns(self, form: Form) -> list[str]:
        """Names of the form's columns."""
        forms = {"chat": [self.messages], "completion": [self.prompt, self.completion], "text": [self.text]}
        return forms[form]


class TextGeneration(BaseTask):
    """See `contract.Task`."""

    name = "text-generation"
    main_metric = "perplexity"
    higher_is_better = False
    default_net = "gpt"
    target_kind: TargetKind = "none"
    options: type[Any] = LanguageOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        """The column that is learnt from: the one called "text", else the only one of texts."""
        there = [column for column in schema.columns if column.kind in ("text", "category")]
        found = [c.name for c in there if c.name == texts.COLUMN] or [
            c.name for c in there if c.kind == "text"
        ]
        if len(found) != 1:
            came = [f"{column.name} ({column.kind})" for column in schema.columns]
            raise InvalidInput(f"{self.name} needs one column of texts", came=came, allowed='a column "text"')
        return found

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        """A tokenizer, which begins each text by the token that ends it (as GPT-2's are separated)."""
        given = resolve(self.options, options, "preprocessing")
        (column,) = columns
        learnt = subwords.texts_of(columns[column], column)
        tokenizer = subwords.fit(learnt, given.vocabulary, (END,), folder, f"{END} $A")
        return {
            "column": column,
            "tokenizer": texts.TOKENIZER,
            "vocabulary": tokenizer.get_vocab_size(),
            "context": given.context,
            "start": tokenizer.token_to_id(END),
            "bos_token": END,
            "eos_token": END,
        }

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """See `PlainTexts.windows`."""
        assert isinstance(prepared, PlainTexts)
        return prepared.windows(columns)

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing.get("column", texts.COLUMN))]

    def sample(self, inputs: Any) -> dict[str, Any]:
        return texts.sample(inputs)

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`text` BYTES [-1] to `generated_text` BYTES [-1]."""
        output = TensorSpec(name=OUTPUT, datatype="BYTES", shape=(-1,))
        return Signature(inputs=(texts.input_spec(),), outputs=(output,))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """Of a net that is trained here `input_ids` INT64 [-1, -1] to `logits` FP32 [-1, -1, vocabulary]; other
        engines read texts."""
        if "vocabulary" not in preprocessing:
            return self.signature(preprocessing, labels)
        width = int(preprocessing["vocabulary"])
        return Signature(
            inputs=(TensorSpec(name="input_ids", datatype="INT64", shape=(-1, -1)),),
            outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, -1, width)),),
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PlainTexts:
        return PlainTexts(preprocessing, folder)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """{"generated_text"} a row."""
        if parameters:
            raise InvalidInput("parameters of a text that is there already", came=sorted(parameters)[:20])
        return [{OUTPUT: value.decode("utf-8", "replace")} for value in outputs[OUTPUT].tolist()]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """Of texts their characters; numbers (of tokens that were counted) as they are. FP64 [rows]."""
        values = np.asarray(column)
        if values.dtype != object:
            return values.astype(np.float64)
        return np.array([len(text) for text in subwords.texts_of(values, texts.COLUMN)], np.float64)

    def metrics(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic], labels: Sequence[str]
    ) -> Metrics:
        """Perplexity, exp of the mean loss of a token, of each output: `loss`, and `loss_before` training; and bits
        a character, which can be compared between tokenizers."""
        counted = outputs.get("tokens", targets)
        values: dict[str, float] = {}
        if "tokens" in outputs:
            values = {"bits_per_character": self.main(outputs, targets), "characters": float(_sum(targets))}
        for name in (name for name in outputs if name.startswith("loss")):
            mean = _mean(outputs[name], counted)
            values |= {name.replace("loss", "perplexity"): perplexity(mean), name: mean}
        return Metrics(
            main="bits_per_character" if "tokens" in outputs else self.main_metric,
            higher_is_better=False,
            values=values | {"tokens": float(_sum(counted))},
        )

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        """Bits a character where those are counted, else perplexity."""
        mean = _mean(outputs["loss"], targets)
        return mean / math.log(2) if "tokens" in outputs else perplexity(mean)

    def baseline(self, train: Columns, columns: Columns, prepared: Prepared) -> dict[str, float]:
        """Bits a character of 5-grams of characters, and of the model's own tokens, fitted on the train split."""
        assert isinstance(prepared, PlainTexts)
        return prepared.five_grams(train[prepared.column], columns[prepared.column])

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """How the model goes on from texts' beginnings, and how they do."""
        assert isinstance(prepared, PlainTexts)
        values = columns[prepared.column]
        shown = [text for text in values.tolist() if len(text) > 2 * _BEGINNING][:_SHOWN]
        if not shown:
            return ()
        cuts = [text.rfind(" ", 0, _BEGINNING) for text in shown]
        begun = [text[: cut if cut > 0 else _BEGINNING] for text, cut in zip(shown, cuts, strict=True)]
        written = predict({PROMPT: np.array([text.encode() for text in begun], object)})[OUTPUT].tolist()
        rows = tuple(
            (start, answer.decode("utf-8", "replace"), text[len(start) :][: 2 * _BEGINNING])
            for start, answer, text in zip(begun, written, shown, strict=True)
        )
        note = "Drawn at temperature 0.8 from the likeliest tokens that have a share of 0.95."
        return (
            Exhibit(title="Texts gone on from", note=note, header=("beginning", "model", "text"), rows=rows),
        )

    def default_recipe(self, net: str) -> dict[str, Any]:
        return {
            "preprocessing": {},
            "training": {
                "learning_rate": 0.002,
                "schedule": {"name": "cosine", "warmup": 0.05},
                "batch_size": 32,
                "weight_decay": 0.1,
                "clip_norm": 1.0,
                "epochs": 10,
            },
            "evaluation": {},
        }


def columns_of(schema: Schema, options: GenerationOptions) -> tuple[Form, list[str]]:
    """The form of the data and the names of its columns.

    Raises InvalidInput naming what is there and what is needed.
    """
    forms: tuple[Form, ...] = ("chat", "completion", "text") if options.form is None else (options.form,)
    for form in forms:
        names = options.columns(form)
        found = [column for name in names if (column := schema.column(name)) is not None]
        if len(found) < len(names):
            continue
        for column in found:
            if column.kind not in ("text", "category"):
                raise InvalidInput(
                    f"the column {column.name!r} holds no texts",
                    came=column.kind,
                    allowed="text; give the column this kind when the data is added",
                )
        return form, names
    raise InvalidInput(
        "the data has no column to learn to generate from",
        came=[column.name for column in schema.columns],
        allowed=" or ".join(" and ".join(options.columns(form)) for form in forms),
    )


def perplexity(loss: float) -> float:
    """exp of a mean loss in nats, at most the largest number there is."""
    return math.exp(min(loss, 700.0))


def _mean(sums: Array, counted: npt.NDArray[np.generic]) -> float:
    return _sum(sums) / _sum(counted)


def _sum(values: npt.NDArray[np.generic]) -> float:
    return float(np.sum(values.astype(np.float64)))


TASK = TextGeneration()
