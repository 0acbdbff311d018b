"""Texts that are learnt from and gone on from: for engines that read them themselves, and as windows of tokens."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import ngrams, subwords, texts
from modelyard.tasks.contract import Array, Columns, Examples
from modelyard.types.generation import Sampling, TextRequest

PROMPT: Final = "prompt"
_ANSWER: Final = 64  # tokens of a sample that a report shows


class PlainTexts:
    """A `contract.Prepared` for engines that read texts themselves: nothing is tokenized here."""

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> None:
        self.column = str(preprocessing.get("column", texts.COLUMN))
        self._context = int(preprocessing.get("context") or 0)
        self._start = int(preprocessing.get("start", 0))
        self._tokenizer = None if folder is None else folder / str(preprocessing.get("tokenizer", ""))

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has `text` (or the data set's column): str, or UTF-8 bytes, one a row."""
        if len(columns) != 1 or not columns.keys() <= {texts.COLUMN, self.column}:
            raise InvalidInput(
                "one column of texts is needed", came=sorted(columns)[:20], allowed=[texts.COLUMN]
            )
        (values,) = columns.values()
        return {texts.COLUMN: texts.encoded(values)}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """`text`, or `prompt` of what is to be gone on from."""
        (name,) = arrays
        if name not in (texts.COLUMN, PROMPT):
            raise InvalidInput("one input is needed", came=sorted(arrays), allowed=[texts.COLUMN, PROMPT])
        return {name: texts.encoded(arrays[name])}

    def requests(
        self, arrays: Mapping[str, Array], parameters: Mapping[str, Any], cut: bool = False
    ) -> list[TextRequest]:
        """Samples that a report shows, each of a seed of its own."""
        return [
            TextRequest(
                prompt=text.decode(),
                sampling=Sampling(max_tokens=_ANSWER, temperature=0.8, top_p=0.95, seed=row),
            )
            for row, text in enumerate(arrays[PROMPT].tolist())
        ]

    def windows(self, columns: Columns) -> Examples:
        """All texts as one stream of tokens, `start` before each and at the end, cut into windows: `input_ids` and
        `next` of each of them, int64 [windows, context]."""
        if self._tokenizer is None:
            raise InvalidInput("texts need the package's tokenizer", allowed="prepare(preprocessing, folder)")
        tokenizer = texts.open_tokenizer(self._tokenizer)
        found = tokenizer.encode_batch_fast(subwords.texts_of(columns[self.column], self.column))
        stream = np.concatenate([*(np.array(e.ids, np.int64) for e in found), [self._start]])
        width = min(self._context, len(stream) - 1)
        rows = (len(stream) - 1) // width
        return Examples(
            inputs={"input_ids": stream[: rows * width].reshape(rows, width)},
            targets={"next": stream[1 : rows * width + 1].reshape(rows, width)},
        )

    def five_grams(self, train: Any, measured: Any) -> dict[str, float]:
        """See `TextGeneration.baseline`."""
        splits = [subwords.texts_of(values, self.column) for values in (train, measured)]
        characters = sum(map(len, splits[1]))
        known = {character: n for n, character in enumerate(sorted({c for text in splits[0] for c in text}))}
        letters = [
            [np.array([known.get(c, len(known)) for c in text], np.int64) for text in split]
            for split in splits
        ]
        found = {"5gram_bits_per_character": _bits(letters, len(known) + 1) / characters}
        if self._tokenizer is not None and self._tokenizer.is_file():
            tokenizer = texts.open_tokenizer(self._tokenizer)
            tokens = [
                [
                    np.array(e.ids, np.int64)
                    for e in tokenizer.encode_batch_fast(split, add_special_tokens=False)
                ]
                for split in splits
            ]
            size = tokenizer.get_vocab_size()
            if (size + 1) ** ngrams.ORDER < 1 << 63:
                found["5gram_of_tokens_bits_per_character"] = _bits(tokens, size) / characters
        return found


def _bits(splits: Sequence[Sequence[Array]], vocabulary: int) -> float:
    """Of the second by 5-grams of the first."""
    fitted = ngrams.NGrams(splits[0], vocabulary)
    return sum(fitted.nats(document) for document in splits[1]) / math.log(2)
