"""Vectors of words that were trained here: texts as sums and differences of words, and the words nearest to them.

A text is the mean of its words' vectors. A text that is the JSON object {"positive": [texts], "negative":
[texts]}, which a caller may also send as an object, is the mean where the words of `negative` count as -1: an
analogy, "king" - "man" + "woman". With "neighbours": n the answer holds the n words nearest to the sum of unit
vectors (Mikolov, Yih and Zweig 2013, section 4), those of the text itself left out.
"""

import difflib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import Corrupt, InvalidInput
from modelyard.tasks import similarity
from modelyard.tasks.contract import Array
from modelyard.tasks.texts import COLUMN, PreparedTexts
from modelyard.types.tensor import TensorSpec

MOST: Final = 20
"""Neighbours of a text."""
NEAREST, NEARNESS = "neighbours", "similarity"
WEIGHTS: Final = "weights.safetensors"
VECTORS: Final = "vectors"
_START: Final = '{"positive"'

Texts = Annotated[list[str], msgspec.Meta(max_length=64)]


class Sum(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words that are added and taken away; `neighbours`: how many of the nearest words are wanted."""

    positive: Texts
    negative: Texts = []
    neighbours: Annotated[int, msgspec.Meta(ge=0, le=MOST)] = 0


class Signed(NamedTuple):
    """Tokens as `tokenizers.Encoding` has them; the mask is the sign."""

    ids: list[int]
    attention_mask: list[int]


def specs() -> tuple[TensorSpec, ...]:
    """`neighbours` BYTES and their cosines `similarity` FP32, [-1, MOST], the nearest first; empty and 0 where
    none were asked for."""
    return (
        TensorSpec(name=NEAREST, datatype="BYTES", shape=(-1, MOST)),
        TensorSpec(name=NEARNESS, datatype="FP32", shape=(-1, MOST)),
    )


def as_text(inputs: Mapping[str, Any]) -> str:
    """{"positive": ..., "negative": ...} as the text that stands for it. Raises InvalidInput."""
    lists = {name: [value] if isinstance(value, str) else value for name, value in inputs.items()}
    try:
        wanted = msgspec.convert(lists, Sum)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"words to add and take away: {error}", allowed=_ALLOWED) from None
    return msgspec.json.encode(wanted).decode()


def is_sum(inputs: Any) -> bool:
    return isinstance(inputs, Mapping) and "positive" in inputs


class PreparedWords(PreparedTexts):
    """See `contract.Prepared` and `contract.Completing`."""

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path | None) -> None:
        super().__init__(preprocessing, folder)
        self._folder = folder
        self._special = [int(preprocessing["pad_id"]), int(preprocessing["unknown_id"])]

    def adjusted(self, arrays: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Array]:
        """With `neighbours`, texts that ask for them; the rest is about long texts."""
        count = parameters.get(NEAREST)
        long = {
            k: v for k, v in parameters.items() if k in ("truncate", "truncation_direction") and v is not None
        }
        found = super().adjusted(arrays, long) if long else dict(arrays)
        return found if count is None else {COLUMN: self.asking(self._texts(found), count)}

    def asking(self, texts: Sequence[str], count: Any) -> Array:
        """The texts with the wish for their nearest words. Raises InvalidInput."""
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
            raise InvalidInput("neighbours is out of range", came=count, allowed=f"1 to {MOST}")
        cells = np.empty(len(texts), object)
        for row, text in enumerate(texts):
            wanted = _sum(text) or Sum(positive=[text])
            cells[row] = msgspec.json.encode(msgspec.structs.replace(wanted, neighbours=count))
        return cells

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The engine's vectors, and the nearest words of the rows that ask for them."""
        texts = self._texts(arrays)
        words, nearness = np.full((len(texts), MOST), b"", object), np.zeros((len(texts), MOST), np.float32)
        for row, text in enumerate(texts):
            wanted = _sum(text)
            if wanted is not None and wanted.neighbours:
                for place, (word, cosine) in enumerate(self.nearest(wanted)):
                    words[row, place], nearness[row, place] = word.encode(), cosine
        return {**outputs, NEAREST: words, NEARNESS: nearness}

    def nearest(self, wanted: Sum) -> list[tuple[str, float]]:
        """Words and cosines, the nearest first. Raises InvalidInput on words that training has not seen."""
        tokens = self._signed(wanted)
        vector = similarity.unit(np.asarray(tokens.attention_mask, np.float32) @ self._units[tokens.ids])
        cosines = self._units @ vector
        cosines[[*self._special, *tokens.ids]] = -np.inf
        best = np.argpartition(-cosines, min(wanted.neighbours, len(cosines) - 1))[: wanted.neighbours]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [(self.words[k], float(cosines[k])) for k in best.tolist() if np.isfinite(cosines[k])]

    @cached_property
    def words(self) -> list[str]:
        """By their numbers: of a word-level tokenizer, special ones first and then the most frequent."""
        return [self._tokens.id_to_token(k) for k in range(self._tokens.get_vocab_size())]

    @cached_property
    def _units(self) -> npt.NDArray[np.float32]:
        """Unit vectors of all words [words, width], which the package keeps beside the graph."""
        from safetensors import SafetensorError, safe_open

        if self._folder is None:
            raise InvalidInput(
                "neighbours need the package's vectors", allowed="prepare(preprocessing, folder)"
            )
        try:
            with safe_open(self._folder / WEIGHTS, "numpy") as file:
                vectors = file.get_tensor(VECTORS)
        except (SafetensorError, OSError) as error:
            raise Corrupt.because(WEIGHTS, "does not hold the words' vectors") from error
        return np.asarray(similarity.unit(vectors), np.float32)

    def _encodings(self, texts: list[str]) -> list[Any]:
        sums = [_sum(text) for text in texts]
        plain = iter(
            super()._encodings([text for text, wanted in zip(texts, sums, strict=True) if wanted is None])
        )
        return [next(plain) if wanted is None else self._signed(wanted) for wanted in sums]

    def _signed(self, wanted: Sum) -> Signed:
        """Raises InvalidInput where a word of a sum, or all of one text, is not in the vocabulary."""
        ids: list[int] = []
        signs: list[int] = []
        for sign, given in ((1, wanted.positive), (-1, wanted.negative)):
            for text in given:
                known = [k for k in self._tokens.encode(text).ids if k not in self._special]
                if not known:
                    raise self._unknown(text)
                ids += known
                signs += [sign] * len(known)
        if not ids:
            raise InvalidInput("there is no word to add", allowed=_ALLOWED)
        return Signed(ids[: self._length], signs[: self._length])

    def _unknown(self, text: str) -> InvalidInput:
        near = difflib.get_close_matches(text.strip().lower(), self.words, n=3)
        return InvalidInput(
            "no word of this was in the training texts", came=text[:80], allowed=near or "words that were"
        )


def _sum(text: str) -> Sum | None:
    """None for a text that is one."""
    if not text.startswith(_START):
        return None
    try:
        return msgspec.json.decode(text, type=Sum)
    except msgspec.MsgspecError:
        return None


_ALLOWED: Final = '{"positive": [texts], "negative": [texts]}'
