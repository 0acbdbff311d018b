"""Translation's samples: texts into tokens to learn from, and into what the decoding engine is asked."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import subwords, texts
from modelyard.tasks.contract import Array, Columns, Examples
from modelyard.tasks.options import resolve
from modelyard.types.generation import MOST_BEAMS, Sampling, TextRequest

_CUT: Final = ("longest_first", "only_first")

Beams = Annotated[int, msgspec.Meta(ge=1, le=MOST_BEAMS)]
Penalty = Annotated[float, msgspec.Meta(ge=-10, le=10)]


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
