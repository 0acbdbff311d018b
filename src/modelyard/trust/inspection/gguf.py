"""GGUF, versions 2 and 3 (ggml-org/ggml, docs/gguf.md): header, keys and values, where each tensor lies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelyard.errors import Corrupt, NotAllowedFormat
from modelyard.trust.inspection.bounded import Buffer, Cursor, mapped
from modelyard.trust.inspection.contract import Inspection

MAGIC: Final = b"GGUF"
_MOST_TENSORS: Final = 100_000
_MOST_KEYS: Final = 10_000
_MOST_ELEMENTS: Final = 4_000_000  # of arrays, in all: vocabularies have some 300,000
_LONGEST: Final = 1 << 20
_NUMBERS: Final = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""ggml type -> elements of a block, its bytes."""
_SHOWN: Final = ("general.architecture", "general.name", "general.license", "general.file_type",
                 "general.quantization_version", "tokenizer.ggml.model")  # fmt: skip
TEMPLATE: Final = "tokenizer.chat_template"
_FIRST, _TOKENS = "tokenizer.ggml.bos_token_id", "tokenizer.ggml.tokens"
_LENGTHS: Final = (".context_length", ".embedding_length", ".block_count")


def inspect(path: Path, name: str) -> Inspection:
    """Raises Corrupt for counts that cannot be, for strings and tensors that pass the end or overlap, and
    NotAllowedFormat for another version or another byte order."""
    with mapped(path, name) as data:
        return _Reader(data, name).inspection()


@dataclass(frozen=True, kw_only=True)
class Header:
    """`values` as the header has them, arrays as their length alone; `first` is the text of the token that begins a
    sequence, or empty."""

    values: dict[str, Any]
    first: str


def read_header(path: Path) -> Header:
    """Of a file that was inspected. Raises Corrupt."""
    with mapped(path, path.name) as data:
        return _Reader(data, path.name).header()


class _Reader:
    def __init__(self, data: Buffer, name: str) -> None:
        self._data, self._name = data, name
        self._cursor = Cursor(data, name, 4)
        self._elements = 0
        self._places: dict[str, int] = {}  # key -> where its value begins

    def inspection(self) -> Inspection:
        version = self._cursor.number("<I")
        if version not in (2, 3):
            raise NotAllowedFormat(
                f"GGUF {self._name!r} is of an unknown version", came=version, allowed="2, 3"
            )
        tensors, keys = self._cursor.number("<Q"), self._cursor.number("<Q")
        if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
            raise self._bad("has counts that cannot be", came=f"{tensors} tensors, {keys} keys")
        values = self._values(keys)
        parameters = self._tensors(tensors, self._alignment(values))
        facts = {k: v for k, v in values.items() if k in _SHOWN or k.endswith(_LENGTHS)}
        architecture = str(values.get("general.architecture", "an unknown architecture"))
        return Inspection(
            format="gguf",
            facts={"version": version, "tensors": tensors, "parameters": parameters, **facts},
            task="feature-extraction" if "bert" in architecture else "text-generation",
            why=f"its header says GGUF {version} of {architecture[:60]}",
        )

    def _bad(self, problem: str, *, came: object = None) -> Corrupt:
        return Corrupt.because(self._name, problem, came=came)

    def _string(self) -> str:
        length = self._cursor.number("<Q")
        if length > _LONGEST:
            raise self._bad("has a text that is too long", came=f"{length:,} bytes")
        return bytes(self._cursor.take(length)).decode("utf-8", "replace")

    def _values(self, count: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self._string()
            if key in found:
                raise self._bad("names a key twice", came=key[:100])
            kind = self._cursor.number("<I")
            self._places[key] = self._cursor.place
            found[key] = self._value(kind, whole=key == TEMPLATE)
        return found

    def header(self) -> "Header":
        self._cursor.number("<I")
        self._cursor.number("<Q")
        values = self._values(self._cursor.number("<Q"))
        return Header(values=values, first=self._token(values.get(_FIRST)))

    def _token(self, number: Any) -> str:
        """The text of a token of the vocabulary."""
        if not isinstance(number, int) or (place := self._places.get(_TOKENS)) is None:
            return ""
        self._cursor.place = place
        kind, count = self._cursor.number("<I"), self._cursor.number("<Q")
        if kind != _STRING or not 0 <= number < count:
            return ""
        for _ in range(number):
            self._skip()
        return self._string()

    def _value(self, kind: int, *, whole: bool = False) -> Any:
        if kind in _NUMBERS:
            return self._cursor.number(_NUMBERS[kind])
        if kind == _BOOL:
            return bool(self._cursor.number("<B"))
        if kind == _STRING:
            return self._string() if whole else self._string()[:1000]
        if kind == _ARRAY:
            return self._array()
        raise self._bad("has a value of an unknown type", came=kind)

    def _array(self) -> str:
        """Skipped; only its length is told. Arrays of arrays are in no file that llama.cpp writes."""
        kind, count = self._cursor.number("<I"), self._cursor.number("<Q")
        self._elements += count
        if self._elements > _MOST_ELEMENTS:
            raise self._bad("has an array that is too long", came=f"{count} elements")
        if kind in _SIZES:
            self._cursor.take(count * _SIZES[kind])
        elif kind == _STRING:
            for _ in range(count):
                self._skip()
        else:
            raise self._bad("has an array of an unknown type", came=kind)
        return f"{count} values"

    def _skip(self) -> None:
        length = self._cursor.number("<Q")
        self._cursor.take(length)

    def _alignment(self, values: dict[str, Any]) -> int:
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 16 or alignment % 8:
            raise self._bad("has an alignment that cannot be", came=alignment)
        return alignment

    def _tensors(self, count: int, alignment: int) -> int:
        """Their parameters; the data begins at the next multiple of the alignment."""
        described = [self._described() for _ in range(count)]
        if len({name for name, *_ in described}) != count:
            raise self._bad("names a tensor twice")
        start = -(-self._cursor.place // alignment) * alignment
        place = 0
        for _, offset, size, _ in sorted(described, key=lambda d: d[1]):
            if offset % alignment or offset < place or start + offset + size > len(self._data):
                raise self._bad("has a tensor that overlaps or passes the end", came=f"at byte {offset}")
            place = offset + size
        return sum(elements for *_, elements in described)

    def _described(self) -> tuple[str, int, int, int]:
        name, dimensions = self._string(), self._cursor.number("<I")
        if dimensions > 4:
            raise self._bad("has a tensor of too many dimensions", came=dimensions)
        elements, row = 1, 1
        for axis in range(dimensions):
            size = self._cursor.number("<Q")
            row = size if axis == 0 else row
            elements *= size
            if elements > 1 << 50:
                raise self._bad("has a tensor that is too large", came=name[:100])
        kind, offset = self._cursor.number("<I"), self._cursor.number("<Q")
        if kind not in _BLOCKS:
            raise self._bad("has a tensor of an unknown type", came=kind)
        block, size = _BLOCKS[kind]
        if row % block:
            raise self._bad("has a tensor whose rows are no whole blocks", came=name[:100])
        return name, offset, elements // block * size, elements
