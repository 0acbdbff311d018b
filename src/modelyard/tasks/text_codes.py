"""Texts, pairs of texts and codes as the rows of tokens that a text autoencoder reads (see `text_autoencoding`)."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import subwords, texts
from modelyard.tasks.contract import Array, Columns, Examples
from modelyard.tasks.options import resolve
from modelyard.types.generation import MOST_BEAMS, Sampling, TextRequest

SPECIAL: Final = {
    "pad": "<pad>",
    "start": "<s>",
    "end": "</s>",
    "unknown": "<unk>",
    "between": "<between>",
    "vector": "<vector>",
}
COLUMNS: Final = frozenset({"text", "other", "share", "steps", "vector"})
LEVELS: Final = 256
"""A number of a code is read as one of so many, from -EDGE to EDGE: its steps are 0.03."""
EDGE: Final = 4.0
_PERCENT: Final = 100


class CodeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may say of the writing: by default the likeliest token at each place; with a temperature it is
    drawn, by a seed alike each time; or the search keeps some beams."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    seed: int | None = None
    num_beams: Annotated[int, msgspec.Meta(ge=1, le=MOST_BEAMS)] = 1
    max_new_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class PreparedCodes:
    """See `contract.Prepared`. The engine reads tokens; `requests` is what it is asked."""

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path | None) -> None:
        self.column = str(preprocessing["column"])
        self.latent = int(preprocessing["latent"])
        self._length = int(preprocessing["max_length"])
        self._special = {name: int(preprocessing[name]) for name in SPECIAL}
        self._path = None if folder is None else folder / str(preprocessing["tokenizer"])

    @functools.cached_property
    def _tokenizer(self) -> Any:
        if self._path is None:
            raise InvalidInput("texts need the package's tokenizer", allowed="prepare(preprocessing, folder)")
        tokenizer = texts.open_tokenizer(self._path)
        tokenizer.encode_special_tokens = True  # "</s>" in a text is what it says, no end
        return tokenizer

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`text` (or the data set's column); with `other` and `share`, a pair; or `vector` alone."""
        named = {texts.COLUMN if name == self.column else str(name): v for name, v in columns.items()}
        if named.keys() == {"vector"}:
            return {"vector": self._vectors(named["vector"])}
        if named.keys() not in ({"text"}, {"text", "other", "share"}):
            allowed = "text; text, other and share; vector"
            raise InvalidInput("other columns", came=sorted(columns)[:20], allowed=allowed)
        counts = {len(values) for values in named.values()}
        if len(counts) != 1 or counts == {0}:
            raise InvalidInput("columns need the same number of rows, 1 or more", came=sorted(counts))
        arrays: dict[str, Array] = {n: _filled(named[n]) for n in ("text", "other") if n in named}
        if "share" in named:
            arrays["share"] = _shares(named["share"])
        return arrays

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Checked anew: what comes by the signature is `text` alone."""
        return self.decode(arrays) if arrays.keys() <= {"text"} else dict(arrays)

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `contract.Completing`: what was asked beside what came back."""
        return {**outputs, **{name: arrays[name] for name in (texts.COLUMN,) if name in arrays}}

    def requests(
        self, arrays: Mapping[str, Array], parameters: Mapping[str, Any], cut: bool = False
    ) -> list[TextRequest]:
        """See `engines.answering.Asking`. Raises InvalidInput for a text that is longer than the model takes,
        unless it is to be cut."""
        given = resolve(CodeParameters, parameters, "parameters") if parameters else CodeParameters()
        sampling = Sampling(
            max_tokens=given.max_new_tokens,
            temperature=given.temperature,
            seed=given.seed,
            num_beams=given.num_beams,
        )
        return [TextRequest(prompt=tuple(row), sampling=sampling) for row in self._rows(arrays, cut)]

    def examples(self, columns: Columns) -> Examples:
        """Texts of at most so many tokens: `source` with its end, `tokens` with the start before them, and `next`
        to come after each of these, int64 [rows, longest]."""
        found = self._tokenizer.encode_batch_fast(subwords.texts_of(columns[self.column], self.column))
        rows = [e.ids for e in found if len(e.ids) <= self._length]
        if not rows:
            raise InvalidInput("no text is short enough", allowed=f"{self._length} tokens")
        lengths = np.array([len(row) for row in rows], np.int64)
        source = np.full((len(rows), int(lengths.max())), self._special["pad"], np.int64)
        for number, row in enumerate(rows):
            source[number, : len(row)] = row
        tokens = np.concatenate([np.full((len(rows), 1), self._special["start"]), source[:, :-1]], axis=1)
        tokens[tokens == self._special["end"]] = self._special["pad"]
        return Examples(
            inputs={"source": source, "tokens": tokens},
            targets={"next": source},
            ragged=dict.fromkeys(("source", "tokens", "next"), lengths),
        )

    def _rows(self, arrays: Mapping[str, Array], cut: bool) -> list[list[int]]:
        if "vector" in arrays:
            return [[self._special["vector"], *row] for row in _levels(arrays["vector"]).tolist()]
        rows = self._tokens(arrays["text"], cut)
        if "other" not in arrays:
            return rows
        between = self._special["between"]
        shares = np.rint(arrays["share"] * _PERCENT).astype(int).tolist()
        others = self._tokens(arrays["other"], cut)
        return [
            [*one, between, *other, between, share]
            for one, other, share in zip(rows, others, shares, strict=True)
        ]

    def _tokens(self, column: Array, cut: bool) -> list[list[int]]:
        found = [e.ids for e in self._tokenizer.encode_batch([text.decode() for text in column.tolist()])]
        longest = max(map(len, found))
        if longest > self._length and not cut:
            raise InvalidInput("a text is too long", came=f"{longest} tokens", allowed=self._length)
        end = self._special["end"]
        return [ids if len(ids) <= self._length else [*ids[: self._length - 1], end] for ids in found]

    def _vectors(self, values: Any) -> Array:
        try:
            array = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise InvalidInput("codes are lists of numbers", allowed=f"[rows, {self.latent}]") from None
        if array.ndim != 2 or array.shape[1] != self.latent or not len(array) or not np.isfinite(array).all():
            raise InvalidInput(
                "codes have a wrong shape or values",
                came=list(array.shape),
                allowed=f"[rows, {self.latent}], finite",
            )
        return array


def _levels(vectors: Array) -> Array:
    """Numbers of a code as whole ones from 0 to LEVELS - 1."""
    return np.rint((np.clip(vectors, -EDGE, EDGE) + EDGE) / (2 * EDGE) * (LEVELS - 1)).astype(np.int64)


def _filled(values: Any) -> Array:
    """UTF-8, none of them blank."""
    found = texts.encoded(values)
    for row, text in enumerate(found.tolist()):
        if not text.strip():
            raise InvalidInput(
                f"text {row} is empty", allowed="1 or more characters that are not white space"
            )
    return found


def _shares(values: Any) -> Array:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("a share is a number", allowed="0 to 1") from None
    if array.ndim != 1 or not ((array >= 0) & (array <= 1)).all():
        raise InvalidInput("a share is out of range", came=str(values)[:60], allowed="0 to 1")
    return array
