"""Counting what is distinct in bounded memory, by 64-bit hashes that depend on the values alone."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

DISTINCT_LIMIT: Final = 65_536
ROW_LIMIT: Final = 1_000_000

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_SPACE = 2.0**64


def hash_values(array: Any) -> Hashes:
    """uint64 [rows] of an Arrow array of one of a version's types; equal values have equal hashes, missing
    ones too."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _hash_variable(array)
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        bits = (array.fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    elif pa.types.is_boolean(kind):
        bits = array.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
    else:
        bits = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    hashes = mix(bits)
    hashes[missing] = _MISSING
    return hashes


def mix(bits: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators")."""
    with np.errstate(over="ignore"):
        mixed = bits + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def hash_rows(columns: Sequence[Hashes]) -> Hashes:
    """One hash a row from those of its values, in order."""
    combined = np.zeros(len(columns[0]), np.uint64)
    for hashes in columns:
        combined = mix((combined << np.uint64(1) | combined >> np.uint64(63)) ^ hashes)
    return combined


class DistinctCount:
    """How many distinct values there are: exact up to `limit`, above estimated from the `limit` smallest
    hashes (k minimum values: Bar-Yossef et al. 2002, "Counting distinct elements in a data stream", section
    2; the standard error at 65,536 is 0.4 %)."""

    def __init__(self, limit: int = DISTINCT_LIMIT) -> None:
        self._limit = limit
        self._smallest: Hashes = np.empty(0, np.uint64)
        self.is_exact = True

    def add(self, hashes: Hashes) -> None:
        if not self.is_exact:
            hashes = hashes[hashes < self._smallest[-1]]
        if not len(hashes):
            return
        merged = np.union1d(self._smallest, hashes)
        self.is_exact = self.is_exact and len(merged) <= self._limit
        self._smallest = merged[: self._limit]

    @property
    def value(self) -> int:
        if self.is_exact:
            return len(self._smallest)
        return round((self._limit - 1) * _SPACE / float(self._smallest[-1]))


class RowCounts:
    """How often each row stands in each split: of all rows up to `limit` distinct ones, above of those with
    the smallest hashes, so that all copies of a row are in the sample or none is."""

    def __init__(self, splits: int, limit: int = ROW_LIMIT) -> None:
        self._limit = limit
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._counts = np.zeros((0, splits), np.int64)
        self._pending: list[tuple[Hashes, np.ndarray[Any, np.dtype[np.int8]]]] = []
        self._waiting = 0
        self._bound: np.uint64 | None = None  # hashes from here on are not kept

    def add(self, hashes: Hashes, splits: np.ndarray[Any, np.dtype[np.int8]]) -> None:
        """Rows by their hash and the index of their split."""
        if self._bound is not None:
            kept = hashes < self._bound
            hashes, splits = hashes[kept], splits[kept]
        self._pending.append((hashes, splits))
        self._waiting += len(hashes)
        if self._waiting >= self._limit:
            self._merge()

    @property
    def sampled(self) -> bool:
        self._merge()
        return self._bound is not None

    def duplicates(self) -> int:
        """Rows that repeat an earlier one."""
        self._merge()
        return self._scaled(int((self._counts.sum(axis=1) - 1).sum()))

    def shared(self, first: int, second: int) -> int:
        """Rows of the second split that stand in the first too."""
        self._merge()
        return self._scaled(int(self._counts[self._counts[:, first] > 0, second].sum()))

    def _scaled(self, found: int) -> int:
        return found if self._bound is None else round(found * _SPACE / float(self._bound))

    def _merge(self) -> None:
        if not self._pending:
            return
        hashes = np.concatenate([self._hashes, *(part for part, _ in self._pending)])
        unique, places = np.unique(hashes, return_inverse=True)
        counts = np.zeros((len(unique), self._counts.shape[1]), np.int64)
        known = len(self._hashes)
        counts[places[:known]] = self._counts
        np.add.at(counts, (places[known:], np.concatenate([splits for _, splits in self._pending])), 1)
        if len(unique) > self._limit:
            self._bound = unique[self._limit]
        self._hashes, self._counts = unique[: self._limit], counts[: self._limit]
        self._pending, self._waiting = [], 0


def _hash_variable(array: Any) -> Hashes:
    encoded = array.dictionary_encode()
    values = encoded.dictionary.cast(pa.binary()).to_pylist()
    digests = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in values)
    table = np.append(np.frombuffer(digests, "<u8").astype(np.uint64), _MISSING)
    places = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    hashes: Hashes = table[places]
    return hashes
