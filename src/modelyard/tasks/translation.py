"""Translation: a text in one language in, the same in another out. Served by the decoding engine.

Its preprocessing, JSON values as everywhere:
    column, target     the data set's columns of texts and of their translations; also the languages' names
    tokenizer          the package's file, of both languages
    vocabulary, pad, start, end   how many tokens it has, and which ones fill up, begin and end
    source, context    most tokens of a text, and of its translation
    num_beams, length_penalty   of the search, where a caller says nothing
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, MissingExtra
from modelyard.tasks import subwords, texts
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema
from modelyard.types.generation import MOST_BEAMS, Sampling, TextRequest
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT: Final = "translation_text"
PAD, START, END = "<pad>", "<s>", "</s>"
_SHOWN: Final = 16
_CUT: Final = ("longest_first", "only_first")

Beams = Annotated[int, msgspec.Meta(ge=1, le=MOST_BEAMS)]
Penalty = Annotated[float, msgspec.Meta(ge=-10, le=10)]


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


class GenerateParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may say of the search. `do_sample` is only allowed to be false: nothing is drawn."""

    num_beams: Beams | None = None
    length_penalty: Penalty | None = None
    max_new_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_length: Annotated[int, msgspec.Meta(ge=1)] | None = None
    do_sample: bool = False


class TranslationParameters(msgspec.Struct, frozen=True, kw_only=True):
    """As Hugging Face's clients send them. Languages may be named where they are the model's own."""

    src_lang: str | None = None
    tgt_lang: str | None = None
    clean_up_tokenization_spaces: bool | None = None
    truncation: str | None = None
    generate_parameters: GenerateParameters | None = None


class PreparedTranslation:
    """See `contract.Prepared`. The engine reads texts itself; `requests` is what it is asked."""

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path | None) -> None:
        self.column, self.target = str(preprocessing["column"]), str(preprocessing.get("target", ""))
        self._said = dict(preprocessing)
        self._path = None if folder is None else folder / str(preprocessing["tokenizer"])
        self._ids = {name: int(preprocessing[name]) for name in ("pad", "start", "end")}

    @functools.cached_property
    def _tokenizer(self) -> Any:
        if self._path is None:
            raise InvalidInput("texts need the package's tokenizer", allowed="prepare(preprocessing, folder)")
        return texts.open_tokenizer(self._path)

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "text" (or the data set's column): str, or UTF-8 bytes, one a row."""
        if len(columns) != 1 or not columns.keys() <= {texts.COLUMN, self.column}:
            raise InvalidInput(
                "one column of texts is needed", came=sorted(columns)[:20], allowed=[texts.COLUMN]
            )
        (values,) = columns.values()
        found = texts.encoded(values)
        for row, text in enumerate(found.tolist()):
            if not text.strip():
                raise InvalidInput(
                    f"text {row} is empty", allowed="1 or more characters that are not white space"
                )
        return {texts.COLUMN: found}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        if arrays.keys() != {texts.COLUMN}:
            raise InvalidInput("one input is needed", came=sorted(arrays), allowed=[texts.COLUMN])
        return {texts.COLUMN: texts.encoded(arrays[texts.COLUMN])}

    def requests(
        self, arrays: Mapping[str, Array], parameters: Mapping[str, Any], cut: bool = False
    ) -> list[TextRequest]:
        """See `engines.answering.Asking`. Raises InvalidInput for a text that is longer than the model takes,
        unless it is to be cut."""
        given = resolve(TranslationParameters, parameters, "parameters")
        self._check_languages(given)
        if given.truncation not in (None, "do_not_truncate", *_CUT):
            raise InvalidInput(
                "parameters.truncation", came=given.truncation, allowed=["do_not_truncate", *_CUT]
            )
        sampling = self._sampling(given.generate_parameters or GenerateParameters())
        cut = cut or given.truncation in _CUT
        found = self._tokenizer.encode_batch([text.decode() for text in arrays[texts.COLUMN].tolist()])
        return [
            TextRequest(prompt=self._fitting(row, e.ids, cut), sampling=sampling)
            for row, e in enumerate(found)
        ]

    def examples(self, columns: Columns, target: Any) -> Examples:
        """Pairs of at most so many tokens: `source` and `tokens` (with the first one before them) in, `next` to
        come after each of these, int64 [pairs, longest]."""
        sides = [self._tokenizer.encode_batch_fast(subwords.texts_of(values, name))
                 for name, values in ((self.column, columns[self.column]), (self.target, target))]  # fmt: skip
        most = int(self._said["source"]), int(self._said["context"])
        pairs = [
            (source.ids, written.ids)
            for source, written in zip(*sides, strict=True)
            if len(source.ids) <= most[0] and len(written.ids) <= most[1]
        ]
        if not pairs:
            raise InvalidInput("no pair of texts is short enough", allowed=f"{most[0]} tokens each")
        start, lengths = self._ids["start"], np.array([[len(a), len(b)] for a, b in pairs])
        return Examples(
            inputs={
                "source": self._laid_out([source for source, _ in pairs]),
                "tokens": self._laid_out([[start, *written[:-1]] for _, written in pairs]),
            },
            targets={"next": self._laid_out([written for _, written in pairs])},
            ragged={"source": lengths[:, 0], "tokens": lengths[:, 1], "next": lengths[:, 1]},
        )

    def _laid_out(self, rows: Sequence[Sequence[int]]) -> Array:
        out = np.full((len(rows), max(map(len, rows))), self._ids["pad"], np.int64)
        for number, row in enumerate(rows):
            out[number, : len(row)] = row
        return out

    def _fitting(self, row: int, ids: Sequence[int], cut: bool) -> tuple[int, ...]:
        most = int(self._said["source"])
        if len(ids) <= most:
            return tuple(ids)
        if not cut:
            raise InvalidInput(
                f"text {row} is too long", came=f"{len(ids)} tokens", allowed=f"{most}, or truncation"
            )
        return (*ids[: most - 1], self._ids["end"])

    def _sampling(self, given: GenerateParameters) -> Sampling:
        if given.do_sample:
            raise InvalidInput("parameters.generate_parameters.do_sample", came=True, allowed=False)
        beams, penalty = given.num_beams, given.length_penalty
        return Sampling(
            max_tokens=given.max_new_tokens or given.max_length,
            temperature=0.0,
            num_beams=int(self._said["num_beams"]) if beams is None else beams,
            length_penalty=float(self._said["length_penalty"]) if penalty is None else penalty,
        )

    def _check_languages(self, given: TranslationParameters) -> None:
        for name, asked, own in (
            ("src_lang", given.src_lang, self.column),
            ("tgt_lang", given.tgt_lang, self.target),
        ):
            if asked is not None and asked != own:
                raise InvalidInput(f"parameters.{name}: the model knows one", came=asked, allowed=own)


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
        """`source` and `tokens` INT64 [-1, -1] to `logits` FP32 [-1, -1, vocabulary]."""
        inputs = tuple(TensorSpec(name=n, datatype="INT64", shape=(-1, -1)) for n in ("source", "tokens"))
        width = int(preprocessing["vocabulary"])
        return Signature(
            inputs=inputs, outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, -1, width)),)
        )

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
        """BLEU (Papineni et al. 2002) of the whole split as sacrebleu counts it (Post 2018), the share of reference
        length that was written, and chrF (Popović 2015)."""
        answers, due = _answers(outputs), [str(text) for text in targets.tolist()]
        found = sacrebleu().BLEU().corpus_score(answers, [due])
        values = {
            "bleu": found.score,
            "chrf": sacrebleu().CHRF().corpus_score(answers, [due]).score,
            "length_ratio": found.ratio,
            "exact": float(np.mean([a == b for a, b in zip(answers, due, strict=True)])),
        }
        return Metrics(main=self.main_metric, higher_is_better=True, values=values)

    def main(self, outputs: Mapping[str, Array], targets: npt.NDArray[np.generic]) -> float:
        """BLEU, of counts that are kept: a bootstrap asks for the same sentences a thousand times."""
        counts = np.sum(
            [_counts(a, str(b)) for a, b in zip(_answers(outputs), targets.tolist(), strict=True)], axis=0
        ).tolist()
        found = sacrebleu().BLEU.compute_bleu(
            correct=counts[2:6], total=counts[6:], sys_len=counts[0], ref_len=counts[1]
        )
        return float(found.score)

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
        bleu = sacrebleu().BLEU()
        bleu.corpus_score(["a"], [["a"]])
        return (
            Exhibit(
                title="Translations",
                note=f"BLEU is sacrebleu's: {bleu.get_signature()}",
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


def sacrebleu() -> Any:
    """sacrebleu.metrics. Raises MissingExtra."""
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtra("sacrebleu", "translation") from error
    return metrics


@functools.lru_cache(maxsize=1 << 16)
def _counts(answer: str, due: str) -> tuple[int, ...]:
    """Words of both, then n-grams of 1 to 4 that are right, and of all."""
    found = sacrebleu().BLEU(effective_order=True).sentence_score(answer, [due])
    return (found.sys_len, found.ref_len, *found.counts, *found.totals)


def _answers(outputs: Mapping[str, Array]) -> list[str]:
    return [_text(value) for value in outputs[OUTPUT].tolist()]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


TASK: Final = Translation()
