"""Text generation: a text in, what follows it out. Served by generators; trained by fine-tuning a base.

Its preprocessing, JSON values as everywhere:
    context          most tokens of a text and its answer together
    chat_template    the package's file of it; absent where the model was trained on no conversations
Its outputs, when a version is evaluated, are sums over a document: `loss` FP64 [rows], in nats; the targets are the
tokens that were counted, [rows].
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import texts
from modelyard.tasks.contract import Array, Columns, TargetKind
from modelyard.tasks.text_task import TextTask
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT = "generated_text"
Form = Literal["chat", "completion", "text"]


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


class PlainTexts:
    """A `contract.Prepared` for engines that read texts themselves: nothing is tokenized here."""

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has `text`: str, or UTF-8 bytes, one a row."""
        if columns.keys() != {texts.COLUMN}:
            raise InvalidInput(
                "one column of texts is needed", came=sorted(columns)[:20], allowed=[texts.COLUMN]
            )
        return {texts.COLUMN: texts.encoded(columns[texts.COLUMN])}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {texts.COLUMN: texts.encoded(arrays[texts.COLUMN])}


class TextGeneration(TextTask):
    """See `contract.Task`."""

    name = "text-generation"
    main_metric = "perplexity"
    higher_is_better = False
    target_kind: TargetKind = "number"
    options: type[Any] = GenerationOptions

    def check(self, schema: Schema, target: str = "") -> list[str]:
        """The columns that training reads by the default options; there is no target."""
        return columns_of(schema, GenerationOptions())[1]

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [texts.COLUMN]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`text` BYTES [-1] to `generated_text` BYTES [-1]."""
        output = TensorSpec(name=OUTPUT, datatype="BYTES", shape=(-1,))
        return Signature(inputs=(texts.input_spec(),), outputs=(output,))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return self.signature(preprocessing, labels)

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PlainTexts:  # type: ignore[override]  # another Prepared
        return PlainTexts()

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """{"generated_text"} a row."""
        if parameters:
            raise InvalidInput("parameters of a text that is there already", came=sorted(parameters)[:20])
        return [{OUTPUT: value.decode("utf-8", "replace")} for value in outputs[OUTPUT].tolist()]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """Tokens that were counted, a document each."""
        return np.asarray(column, np.float64)

    def metrics(
        self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic], labels: Sequence[str]
    ) -> Metrics:
        """Perplexity, exp of the mean loss of a token, of each output: `loss`, and `loss_before` training."""
        values: dict[str, float] = {}
        for name, sums in outputs.items():
            mean = _mean(sums, targets)
            values |= {name.replace("loss", "perplexity"): perplexity(mean), name: mean}
        return Metrics(
            main=self.main_metric,
            higher_is_better=False,
            values=values | {"tokens": float(np.sum(targets.astype(np.float64)))},
        )

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        return perplexity(_mean(outputs["loss"], targets))


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


def _mean(sums: Array, tokens: npt.NDArray[np.generic]) -> float:
    return float(np.sum(sums.astype(np.float64)) / np.sum(tokens.astype(np.float64)))


TASK = TextGeneration()
