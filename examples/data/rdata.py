"""Reads data frames out of R's own files, without R: those of a package's lazy-load database (data/Rdata.rdb).

    from rdata import frames
    columns = frames("usr/lib/R/site-library/modeldata/data/Rdata")["ames"]

The database is two files: an index (.rdx: where each object lies) and objects one after the other (.rdb), each
compressed, in R's XDR serialization (R Internals, sections 1.8 and 2.4; serialize.c). Factors become texts,
missing values None.
"""

import bz2
import lzma
import math
import struct
import zlib
from pathlib import Path
from typing import Any

NULL, GLOBAL, BASE, EMPTY, MISSING, UNBOUND = 254, 253, 241, 242, 251, 252
SYMBOL, PAIRS, CLOSURE, ENVIRONMENT, PROMISE, LANGUAGE, CHARACTERS = 1, 2, 3, 4, 5, 6, 9
LOGICALS, INTEGERS, REALS, COMPLEXES, STRINGS, LISTS, EXPRESSIONS, BYTES, S4 = (
    10,
    13,
    14,
    15,
    16,
    19,
    20,
    24,
    25,
)
REFERENCE, PERSISTENT, ALTERNATIVE, ATTRIBUTES = 255, 247, 238, 239
HAS_OBJECT, HAS_ATTRIBUTES, HAS_TAG = 0x100, 0x200, 0x400
NO_INTEGER = -(2**31)


class Vector(list[Any]):
    """Values with R's attributes: names, class, levels."""

    attributes: dict[str, Any]


def frames(stem: str | Path) -> dict[str, dict[str, list[Any]]]:
    """Name -> column -> values, of all data frames of a database. Raises ValueError for what is none."""
    stem = Path(stem)
    index = named(read(zlib.decompress(stem.with_suffix(".rdx").read_bytes(), wbits=47)))
    data = stem.with_suffix(".rdb").read_bytes()
    found = {}
    for name, place in named(index["variables"]).items():
        value = read(unpacked(data[place[0] : place[0] + place[1]]))
        if isinstance(value, Vector) and "data.frame" in value.attributes.get("class", ()):
            found[name] = {column: cells(values) for column, values in named(value).items()}
    return found


def named(values: Any) -> dict[str, Any]:
    """A list with names."""
    return dict(zip(values.attributes["names"], values, strict=True))


def cells(values: Vector) -> list[Any]:
    """A column: a factor's texts, or what it holds; None where it is missing."""
    levels = values.attributes.get("levels")
    if levels is not None:
        return [None if code is None else levels[code - 1] for code in values]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def unpacked(data: bytes) -> bytes:
    """An object's bytes: four of its length, and for what is not zlib one that says what it is."""
    body = data[4:]
    if body[:1] == b"Z":
        raw = [{"id": lzma.FILTER_LZMA2, "preset": 6 | lzma.PRESET_EXTREME}]
        return lzma.decompress(body[1:], format=lzma.FORMAT_RAW, filters=raw)
    if body[:1] == b"2":
        return bz2.decompress(body[1:])
    return body[1:] if body[:1] == b"0" else zlib.decompress(body)


def read(data: bytes) -> Any:
    """One serialized object."""
    if data[:2] != b"X\n":
        raise ValueError("not in R's XDR serialization")
    return Reader(data).whole()


class Reader:
    """Reads items one after the other; what stands twice is referred to by its number."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 2
        self.known: list[Any] = []

    def whole(self) -> Any:
        version = self.take(">iii")[0]
        if version == 3:
            (length,) = self.take(">i")
            self.at += length  # the native encoding's name
        return self.item()

    def take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return found

    def length(self) -> int:
        (length,) = self.take(">i")
        if length == -1:
            high, low = self.take(">II")
            return (high << 32) + low
        return length

    def item(self) -> Any:
        (flags,) = self.take(">I")
        kind = flags & 0xFF
        if kind in (NULL, GLOBAL, BASE, EMPTY, MISSING, UNBOUND):
            return None
        if kind == REFERENCE:
            number = flags >> 8 or self.take(">i")[0]
            return self.known[number - 1]
        if kind == SYMBOL:
            return self.remembered(self.item())
        if kind in (PAIRS, LANGUAGE, CLOSURE, PROMISE, ATTRIBUTES):
            return self.pairs(flags)
        if kind == ALTERNATIVE:
            return self.alternative()
        if kind == CHARACTERS:
            (length,) = self.take(">i")
            self.at += max(length, 0)
            return None if length < 0 else self.data[self.at - length : self.at].decode("utf-8", "replace")
        if kind == ENVIRONMENT:
            self.take(">i")
            self.remembered({})
            return [self.item() for _ in range(4)]
        if kind == PERSISTENT:
            self.take(">i")
            return self.remembered([self.item() for _ in range(self.length())])
        return self.vector(flags, kind)

    def remembered(self, value: Any) -> Any:
        self.known.append(value)
        return value

    def pairs(self, flags: int) -> dict[str, Any]:
        """A pairlist as a dict; the rest of it hangs at its end."""
        found: dict[str, Any] = {}
        while flags & 0xFF in (PAIRS, LANGUAGE, CLOSURE, PROMISE, ATTRIBUTES):
            if flags & HAS_ATTRIBUTES:
                self.item()
            tag = self.item() if flags & HAS_TAG else ""
            found[str(tag)] = self.item()
            (flags,) = self.take(">I")
        if flags & 0xFF != NULL:
            self.at -= 4
            self.item()
        return found

    def alternative(self) -> Any:
        """R's compact forms: a range, strings made of numbers, or a vector that is only wrapped."""
        about, state, _ = self.item(), self.item(), self.item()
        name = str(next(iter(about.values())))
        if name == "compact_intseq":
            count, first, step = (int(x) for x in state)
            return vector(range(first, first + count * step, step))
        if name == "deferred_string":
            inner = state[""] if isinstance(state, dict) else state[0]
            return vector([None if x is None else f"{x:.15g}" for x in inner])
        if name.startswith("wrap_"):
            return state[0]
        raise ValueError(f"a compact form that is not known: {name}")

    def vector(self, flags: int, kind: int) -> Any:
        if kind == S4:
            found = vector([])
        else:
            count = self.length()
            if kind in (LOGICALS, INTEGERS):
                values = self.take(f">{count}i")
                found = vector([None if value == NO_INTEGER else value for value in values])
            elif kind == REALS:
                found = vector(self.take(f">{count}d"))
            elif kind == COMPLEXES:
                found = vector(self.take(f">{2 * count}d"))
            elif kind == BYTES:
                found = vector(self.take(f">{count}B"))
            elif kind in (STRINGS, LISTS, EXPRESSIONS):
                found = vector([self.item() for _ in range(count)])
            else:
                raise ValueError(f"a kind of object that is not known: {kind}")
        if flags & HAS_ATTRIBUTES:
            found.attributes = self.item() or {}
        return found


def vector(values: Any) -> Vector:
    found = Vector(values)
    found.attributes = {}
    return found
