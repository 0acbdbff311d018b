"""What tasks of texts share: a caller's texts into bytes, and a tokenizer's tensors of them.

Their preprocessing, JSON values as everywhere:
    tokenizer        the package's file, in the form of Hugging Face's `tokenizers` library
    column           the data set's column of texts
    inputs           the model's tensors, of TENSORS
    max_length       tokens of the longest text that the model takes, special ones counted; longer ones are cut
    padding_side, truncation_side, pad_id, pad_type_id, pad_token   as the tokenizer was made with
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput, MissingExtra, TooLarge
from modelyard.tasks.contract import Array, Columns
from modelyard.types.tensor import TensorSpec

COLUMN: Final = "text"
TOKENIZER: Final = "tokenizer.json"
LONGEST: Final = 256 << 10
"""Bytes of one text: some 60,000 tokens, of which no encoder reads more than 8,192."""
MOST: Final = 2 << 20
"""Characters of all texts that a caller sends at once: a second of tokenizing."""
TENSORS: Final = ("input_ids", "attention_mask", "token_type_ids")
SIDES: Final = ("right", "left")

_MOST_COUNTED: Final = 8192
_TOGETHER: Final = 16  # rows of one run: on a CPU more of them gain nothing
_STRETCH: Final = 1.2
_ALLOWED: Final = 'a string, a list of strings, {"text": [strings]}'


def sample(inputs: Any) -> dict[str, Any]:
    """A text, a list of texts, {"text": ...}, the same below "data", or UTF-8 bytes, into the column `text`."""
    columns = _columns(inputs)
    for values in columns.values():
        total = sum(len(text) for text in values if isinstance(text, str | bytes))
        if total > MOST:
            raise TooLarge("the texts are too long", came=f"{total:,} characters in all", allowed=f"{MOST:,}")
    return columns


def encoded(values: Any) -> Array:
    """Texts (str, or UTF-8 bytes) as bytes, objects [rows]. Raises InvalidInput, TooLarge."""
    found = [_encoded(row, value) for row, value in enumerate(_listed(values))]
    _check_sizes(found)
    return _objects(found)


def input_spec() -> TensorSpec:
    """What callers send: `text` BYTES [-1], UTF-8."""
    return TensorSpec(name=COLUMN, datatype="BYTES", shape=(-1,))


def token_specs(preprocessing: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """The engine's inputs, each INT64 [-1, -1]: rows and tokens."""
    return tuple(TensorSpec(name=name, datatype="INT64", shape=(-1, -1)) for name in preprocessing["inputs"])


class PreparedTexts:
    """See `contract.Prepared`. Of a package whose tokenizer is opened once."""

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path | None) -> None:
        self._column = str(preprocessing.get("column", COLUMN))
        self._inputs = [str(name) for name in preprocessing["inputs"]]
        self._length = int(preprocessing["max_length"])
        self._pad = {
            "direction": preprocessing.get("padding_side", "right"),
            "pad_id": preprocessing["pad_id"],
            "pad_type_id": preprocessing.get("pad_type_id", 0),
            "pad_token": preprocessing["pad_token"],
        }
        self._counted: dict[str, Any] = {}
        self._side = str(preprocessing.get("truncation_side", "right"))
        self._path = None if folder is None else folder / str(preprocessing["tokenizer"])
        if self._path is not None:
            self._tokens  # noqa: B018  what cannot be opened is to be known now

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "text" (or the data set's column): str, or UTF-8 bytes, one a row."""
        if len(columns) != 1 or not (columns.keys() <= {self._column, COLUMN}):
            raise InvalidInput("one column of texts is needed", came=sorted(columns)[:20], allowed=[COLUMN])
        (values,) = columns.values()
        encoded = [_encoded(row, value) for row, value in enumerate(_listed(values))]
        _check_sizes(encoded)
        for row, text in enumerate(encoded):
            if not text.strip():
                raise InvalidInput(
                    f"text {row} is empty", allowed="1 or more characters that are not white space"
                )
        return {COLUMN: _objects(encoded)}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Token numbers INT64 [rows, tokens], padded to the longest of these rows, under the model's names."""
        encodings = self._encodings(self._texts(arrays))
        longest = max(len(encoding.ids) for encoding in encodings)
        if longest == 0:
            raise InvalidInput("the tokenizer finds no token in these texts")
        return {name: self._laid_out(name, encodings, longest) for name in self._inputs}

    def count(self, arrays: Mapping[str, Array]) -> int:
        """Tokens of all rows, special ones counted. What is found out here is not done again by `transform`."""
        return sum(self._lengths(arrays))

    def groups(self, arrays: Mapping[str, Array]) -> list[list[int]]:
        """Rows that are to be computed together: of about one length, so that little of a batch is padding."""
        lengths = self._lengths(arrays)
        found: list[list[int]] = []
        for row in sorted(range(len(lengths)), key=lengths.__getitem__):
            shortest = lengths[found[-1][0]] if found else 0
            if not found or len(found[-1]) == _TOGETHER or lengths[row] > shortest * _STRETCH + 1:
                found.append([])
            found[-1].append(row)
        return found

    def _lengths(self, arrays: Mapping[str, Array]) -> list[int]:
        texts = self._texts(arrays)
        encodings = self._encodings(texts)
        if len(self._counted) > _MOST_COUNTED:  # of requests that never came to be transformed
            self._counted.clear()
        self._counted.update(zip(texts, encodings, strict=True))
        return [len(encoding.ids) for encoding in encodings]

    def _encodings(self, texts: list[str]) -> list[Any]:
        """Tokens of each text, cut, not padded."""
        known = [self._counted.pop(text, None) for text in texts] if self._counted else [None] * len(texts)
        missing = [text for text, encoding in zip(texts, known, strict=True) if encoding is None]
        made = iter(self._tokens.encode_batch_fast(missing) if missing else ())
        return [next(made) if encoding is None else encoding for encoding in known]

    def _laid_out(self, name: str, encodings: list[Any], length: int) -> Array:
        """One of the model's tensors, INT64 [rows, length]."""
        attribute, padding = {
            "input_ids": ("ids", self._pad["pad_id"]),
            "attention_mask": ("attention_mask", 0),
            "token_type_ids": ("type_ids", self._pad["pad_type_id"]),
        }[name]
        array = np.full((len(encodings), length), padding, np.int64)
        left = self._pad["direction"] == "left"
        for row, encoding in enumerate(encodings):
            values = getattr(encoding, attribute)
            if values:
                array[row, slice(-len(values), None) if left else slice(len(values))] = values
        return array

    def adjusted(self, arrays: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Array]:
        """The texts as a caller wants long ones handled.

        truncate=False refuses what is longer than the model takes; truncation_direction="left" keeps the end of
        it, from the beginning of a word on. Raises InvalidInput.
        """
        side, whole = parameters.get("truncation_direction"), parameters.get("truncate")
        if side not in (None, *SIDES) or whole not in (None, True, False):
            raise InvalidInput(
                "truncation", came=f"{whole!r}, {side!r}", allowed=f"true or false, {', '.join(SIDES)}"
            )
        if whole is not False and side in (None, self._side):
            return dict(arrays)
        texts = self._texts(arrays)
        found = self._whole.encode_batch(texts)
        longest = max(len(encoding.ids) for encoding in found)
        if whole is False and longest > self._length:
            raise InvalidInput(
                "a text is too long", came=f"{longest} tokens", allowed=f"{self._length}, or truncate"
            )
        if side == "left":
            texts = [self._end(text, encoding) for text, encoding in zip(texts, found, strict=True)]
        return {COLUMN: _objects([text.encode() for text in texts])}

    def _end(self, text: str, encoding: Any) -> str:
        """As many whole words at the end of a text as the model takes, with the space before them."""
        own = [k for k, special in enumerate(encoding.special_tokens_mask) if not special]
        room = self._length - (len(encoding.ids) - len(own))
        if len(own) <= room:
            return text
        words = encoding.word_ids
        starts = [k for k in own[len(own) - room :] if words[k] != words[k - 1]] or own[-room:]
        at = encoding.offsets[starts[0]][0]
        return text[at - 1 :] if at and text[at - 1].isspace() else text[at:]

    def _texts(self, arrays: Mapping[str, Array]) -> list[str]:
        """Checked anew: the Open Inference Protocol's do not come from `decode`."""
        if arrays.keys() != {COLUMN}:
            raise InvalidInput("one input is needed", came=sorted(arrays), allowed=[COLUMN])
        column = arrays[COLUMN]
        if column.dtype != object or column.ndim != 1 or not len(column):
            raise InvalidInput(
                "texts need the shape [rows], 1 or more", came=f"{column.dtype} {list(column.shape)}"
            )
        values = column.tolist()
        _check_sizes(values)
        try:
            return [value.decode() for value in values]
        except (UnicodeDecodeError, AttributeError):
            raise InvalidInput("a text is not UTF-8") from None

    @cached_property
    def _tokens(self) -> Any:
        """The tokenizer, cutting."""
        tokenizer = self._open()
        tokenizer.enable_truncation(self._length, direction=self._side)
        return tokenizer

    @cached_property
    def _whole(self) -> Any:
        """The tokenizer as it is, for those who ask how long their texts are."""
        return self._open()

    def _open(self) -> Any:
        if self._path is None:
            raise InvalidInput("texts need the package's tokenizer", allowed="prepare(preprocessing, folder)")
        return open_tokenizer(self._path)


def open_tokenizer(path: Path) -> Any:
    """A `tokenizers.Tokenizer` that neither pads nor cuts. Raises InvalidInput, MissingExtra."""
    # One thread, as everywhere: those of two replicas would take each other's cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("tokenizers", "text") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # of the Rust library, without a class of its own
        raise InvalidInput("this is no tokenizer", came=path.name, allowed="tokenizer.json") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _columns(inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, Mapping) and inputs.keys() == {"data"}:
        inputs = inputs["data"]
    if isinstance(inputs, Mapping):
        if len(inputs) != 1:
            raise InvalidInput(
                "one column of texts is needed", came=list(map(str, inputs))[:20], allowed=_ALLOWED
            )
        ((name, inner),) = inputs.items()
        return {str(name): list(inner) if isinstance(inner, list | tuple) else [inner]}
    if isinstance(inputs, list) and inputs and all(isinstance(row, Mapping) for row in inputs):
        return _rows(inputs)
    if not isinstance(inputs, str | bytes | list):
        raise InvalidInput("inputs are not texts", came=type(inputs).__name__, allowed=_ALLOWED)
    return {COLUMN: inputs if isinstance(inputs, list) else [inputs]}


def _rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = {str(name) for row in rows for name in row}
    if len(names) != 1 or any(len(row) != 1 for row in rows):
        raise InvalidInput("one column of texts is needed", came=sorted(names)[:20], allowed=_ALLOWED)
    return {names.pop(): [next(iter(row.values())) for row in rows]}


def _listed(values: Any) -> list[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not listed:
        raise InvalidInput("there is no text", allowed="1 or more")
    return listed


def _encoded(row: int, value: Any) -> bytes:
    if isinstance(value, bytes):
        return _checked(row, value)
    if not isinstance(value, str):
        came = "a missing value" if value is None else type(value).__name__
        raise InvalidInput(f"text {row} is no text", came=came, allowed="strings")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"text {row} has half of a surrogate pair, which is no character") from None


def _checked(row: int, value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"text {row} is not UTF-8") from None
    return value


def _check_sizes(texts: Sequence[Any]) -> None:
    longest = max(map(len, texts))
    if longest > LONGEST:
        raise TooLarge("a text is too long", came=f"{longest:,} bytes", allowed=f"{LONGEST:,}")


def _objects(values: list[bytes]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array
