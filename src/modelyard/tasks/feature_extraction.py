"""Feature extraction: a text in, a vector of its meaning out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from modelyard.errors import InvalidInput
from modelyard.tasks import similarity, texts, vocabulary, words
from modelyard.tasks.answers import finite
from modelyard.tasks.contract import Array, Columns, Predict, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.text_task import TextTask
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT = "embedding"
_SHOWN: Final = 16
_FREQUENT: Final = 100  # words that are more frequent are mostly small ones, which say little
_ANALOGIES: Final = (
    ("man", "woman", "king"),
    ("man", "woman", "brother"),
    ("father", "mother", "son"),
    ("boy", "girl", "uncle"),
    ("he", "she", "his"),
    ("he", "she", "himself"),
    ("good", "better", "bad"),
    ("small", "smaller", "large"),
    ("france", "french", "spain"),
    ("dog", "dogs", "bird"),
)


class EmbeddingParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask. `normalize`: vectors of length 1; without it they are as the model answers;
    `neighbours`: of vectors of words that were trained here, so many of the nearest words in their place. The rest
    is about long texts: see `texts.PreparedTexts.adjusted`."""

    normalize: bool | None = None
    neighbours: Annotated[int, msgspec.Meta(ge=1, le=words.MOST)] | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right"] | None = None


class VectorOptions(vocabulary.TokenizerOptions, frozen=True, kw_only=True):
    """`width`: the values of a vector. The rest is the tokenizer's: see `vocabulary.TokenizerOptions`."""

    kind: Literal["word", "bpe"] = "word"  # MiniLM's marks of a text's ends would be words among words
    min_frequency: Annotated[int, msgspec.Meta(ge=1)] = 5
    max_length: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 512
    width: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 100


class FeatureExtraction(TextTask):
    """See `contract.Task`. Its preprocessing has `width`, the values of a vector, and `words`: true where it was
    trained here and each token has a vector of its own.

    What it is compared by is the target's column, where there is one: a class, or a place in a tree as
    "/animal/dog"; else the words of the text itself. See similarity.py.
    """

    name = "feature-extraction"
    main_metric = "similarity_correlation"
    default_net = "word2vec"
    target_kind: TargetKind = "none"
    options = VectorOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        if target and schema.column(target) is None:
            there = [f"{c.name} ({c.kind})" for c in schema.columns]
            raise InvalidInput("there is no such target column", came=target, allowed=there)
        return super().check(schema, target)

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        width = resolve(VectorOptions, options, "preprocessing").width
        return {**super().fit(columns, schema, options, folder), "width": width, "words": True}

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`embedding` FP32 [-1, width]; of words also their neighbours, where these are asked for."""
        more = words.specs() if preprocessing.get("words") else ()
        return Signature(inputs=(texts.input_spec(),), outputs=(*_outputs(preprocessing), *more))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(inputs=texts.token_specs(preprocessing), outputs=_outputs(preprocessing))

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> texts.PreparedTexts:
        kind = words.PreparedWords if preprocessing.get("words") else texts.PreparedTexts
        return kind(preprocessing, folder)

    def sample(self, inputs: Any) -> dict[str, Any]:
        """Texts; or {"positive": [texts], "negative": [texts]}, or a list of these: see words.py."""
        if isinstance(inputs, Mapping) and inputs.keys() == {"data"}:
            inputs = inputs["data"]
        several = inputs if isinstance(inputs, list) else [inputs]
        if not any(words.is_sum(one) for one in several):
            return texts.sample(inputs)
        return texts.sample([words.as_text(one) if words.is_sum(one) else one for one in several])

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """A vector a row; with `neighbours` [{"word", "score"}], the nearest first."""
        given = (
            resolve(EmbeddingParameters, parameters, "parameters") if parameters else EmbeddingParameters()
        )
        if given.neighbours is not None:
            return _neighbours(outputs, given.neighbours)
        vectors = finite(outputs[OUTPUT])
        answers: list[Any] = (similarity.unit(vectors) if given.normalize else vectors).tolist()
        return answers

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """int64 [rows, members]: see `similarity.codes`."""
        return similarity.codes(list(column))

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        alike, by_chance = similarity.neighbours_alike(outputs[OUTPUT], targets)
        values = {
            self.main_metric: self.main(outputs, targets),
            "neighbours_alike": alike,
            "neighbours_alike_by_chance": by_chance,
        }
        return Metrics(main=self.main_metric, higher_is_better=True, values=values)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return similarity.correlation(outputs[OUTPUT], targets)

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """Neighbours of words, and analogies."""
        if not isinstance(prepared, words.PreparedWords):
            return ()
        known = set(prepared.words)
        asked = [text for values in columns.values() for text in values if text in known][:_SHOWN]
        rows = [(word, _said(prepared, words.Sum(positive=[word], neighbours=8))) for word in asked]
        rows = rows or [
            (word, _said(prepared, words.Sum(positive=[word], neighbours=8)))
            for word in [w for w in prepared.words[_FREQUENT:] if w.isalpha()][:_SHOWN]
        ]
        found = [Exhibit(title="Nearest words", note=_NEAREST, header=("word", "nearest"), rows=tuple(rows))]
        analogies = [
            (f"{a} : {b} = {c} : ?", _said(prepared, words.Sum(positive=[b, c], negative=[a], neighbours=4)))
            for a, b, c in _ANALOGIES
            if {a, b, c} <= known
        ]
        if analogies:
            found.append(
                Exhibit(title="Analogies", note=_SUMS, header=("asked", "answered"), rows=tuple(analogies))
            )
        return found

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 256, "epochs": 10}
        if net == "glove":
            training |= {"learning_rate": 0.005, "batch_size": 16_384, "epochs": 20}
        return {"preprocessing": {}, "training": training, "evaluation": {}}


_NEAREST: Final = "By the cosine of their vectors, which stands behind each."
_SUMS: Final = "The words nearest to b - a + c (Mikolov, Yih and Zweig 2013), not picked by hand."


def _outputs(preprocessing: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name=OUTPUT, datatype="FP32", shape=(-1, int(preprocessing["width"]))),)


def _neighbours(outputs: Mapping[str, Array], count: int) -> list[Any]:
    if words.NEAREST not in outputs:
        raise InvalidInput(
            "this model has no words to be neighbours", came="neighbours", allowed="normalize, truncate"
        )
    return [
        [
            {"word": word.decode(), "score": score}
            for word, score in zip(row[:count], scores[:count], strict=True)
            if word
        ]
        for row, scores in zip(outputs[words.NEAREST].tolist(), outputs[words.NEARNESS].tolist(), strict=True)
    ]


def _said(prepared: words.PreparedWords, wanted: words.Sum) -> str:
    return ", ".join(f"{word} ({cosine:.2f})" for word, cosine in prepared.nearest(wanted))


TASK = FeatureExtraction()
