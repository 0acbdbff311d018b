"""One collector a kind of column: what the profile says of it, gathered batch by batch."""

import io
from collections import Counter
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.datasets.sketch import DistinctCount, Hashes
from modelyard.datasets.values import EXACT
from modelyard.tasks import sounds
from modelyard.types.dataset import ColumnKind, ColumnProfile

BINS: Final = 40
TOP: Final = 20
COUNTED: Final = 10_000
"""Distinct strings that are counted; of a column with more the most frequent ones are not told."""

PICTURES: Final = 2000
PICTURE_PIXELS: Final = 400_000_000
"""At most so many images are decoded for the profile, of so many pixels together."""

SOUNDS: Final = 1000
"""At most so many sound files are decoded for the profile."""

Range = tuple[float, float] | None


class Measure(Protocol):
    def add(self, array: Any) -> None:
        """Look at an Arrow array of the column's type."""

    def facts(self) -> dict[str, Any]:
        """Fields of ColumnProfile."""


class ColumnMeasure:
    """What is counted for every kind, and the kind's own."""

    def __init__(self, name: str, kind: ColumnKind, bounds: Range, rows: int) -> None:
        self._name, self._kind = name, kind
        self._missing = 0
        self._distinct = DistinctCount()
        self.own = _measure(kind, bounds, rows)

    def add(self, array: Any, hashes: Hashes) -> None:
        self._missing += array.null_count
        known = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else slice(None)
        self._distinct.add(hashes[known])
        self.own.add(array)

    def finish(self) -> ColumnProfile:
        return ColumnProfile(
            name=self._name,
            kind=self._kind,
            missing=self._missing,
            distinct=self._distinct.value,
            distinct_is_exact=self._distinct.is_exact,
            **self.own.facts(),
        )


class NumberMeasure:
    """Mean and deviation by merging batches (Chan, Golub and LeVeque 1983), and a histogram between given
    bounds. Infinite values are counted and left out."""

    def __init__(self, bounds: Range, whole: bool) -> None:
        self._count, self._mean, self._squares, self.infinite = 0, 0.0, 0.0, 0
        self._bounds = bounds
        self._edges = _edges(bounds, whole)
        self._counts = np.zeros(max(0, len(self._edges) - 1), np.int64)

    def add(self, array: Any) -> None:
        values = array.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        finite = values[np.isfinite(values)]
        self.infinite += len(values) - len(finite)
        if not len(finite):
            return
        with np.errstate(over="ignore", invalid="ignore"):  # near the largest double; facts() tells none then
            mean = float(finite.mean())
            self._merge(len(finite), mean, float(((finite - mean) ** 2).sum()))
        self._counts += np.histogram(finite, self._edges)[0]

    def facts(self) -> dict[str, Any]:
        if not self._count or self._bounds is None:
            return {"extra": {"infinite": self.infinite}} if self.infinite else {}
        return {
            "minimum": self._bounds[0],
            "maximum": self._bounds[1],
            "mean": _finite(self._mean),
            "std": _finite(float(np.sqrt(self._squares / self._count))),
            "histogram": {"edges": self._edges.tolist(), "counts": self._counts.tolist()},
            "extra": {"infinite": self.infinite} if self.infinite else {},
        }

    def _merge(self, count: int, mean: float, squares: float) -> None:
        total = self._count + count
        step = mean - self._mean
        self._mean += step * count / total
        self._squares += squares + step * step * self._count * count / total
        self._count = total


class TimeMeasure:
    """First and last, and a histogram over seconds since 1970."""

    def __init__(self, bounds: Range) -> None:
        self._numbers = NumberMeasure(bounds, whole=False)
        self._bounds = bounds

    def add(self, array: Any) -> None:
        self._numbers.add(pc.divide(array.cast(pa.int64()).cast(pa.float64(), safe=False), 1e6))

    def facts(self) -> dict[str, Any]:
        if self._bounds is None:
            return {}
        first, last = (str(np.datetime64(int(bound * 1e6), "us")) for bound in self._bounds)
        return {"histogram": self._numbers.facts().get("histogram"), "extra": {"first": first, "last": last}}


class StringMeasure:
    """The most frequent values and their lengths. Booleans are counted by their names."""

    def __init__(self) -> None:
        self._counts: Counter[str] | None = Counter()
        self._shortest: int | None = None
        self._longest = 0

    def add(self, array: Any) -> None:
        text = array.cast(pa.string()).drop_null()
        if not len(text):
            return
        lengths = pc.min_max(pc.utf8_length(text))
        shortest = lengths["min"].as_py()
        self._shortest = shortest if self._shortest is None else min(self._shortest, shortest)
        self._longest = max(self._longest, lengths["max"].as_py())
        if self._counts is not None:
            for pair in pc.value_counts(text).to_pylist():
                self._counts[pair["values"]] += pair["counts"]
            if len(self._counts) > COUNTED:
                self._counts = None

    def facts(self) -> dict[str, Any]:
        if self._shortest is None:
            return {}
        frequent = sorted((self._counts or {}).items(), key=lambda item: (-item[1], item[0]))
        repeated = [
            (value[:200], count) for value, count in frequent[:TOP] if count > 1 or len(frequent) <= TOP
        ]
        return {"top": tuple(repeated), "extra": {"shortest": self._shortest, "longest": self._longest}}


class ImageMeasure:
    """Sizes, modes and pixels of some images, evenly spread over the rows."""

    def __init__(self, rows: int) -> None:
        self._step = max(1, -(-rows // PICTURES))
        self._seen = self._looked = self._pixels = 0
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._modes: Counter[str] = Counter()
        self._grey = np.zeros(256, np.int64)

    def add(self, array: Any) -> None:
        first = -self._seen % self._step
        for place in range(first, len(array), self._step):
            value = array[place].as_py()
            if value is not None:
                self._look(value)
        self._seen += len(array)

    def facts(self) -> dict[str, Any]:
        if not self._looked:
            return {}
        levels = np.arange(256)
        total = max(1, int(self._grey.sum()))
        mean = float((levels * self._grey).sum() / total)
        used = np.flatnonzero(self._grey)
        return {
            "minimum": float(used[0]) if len(used) else None,
            "maximum": float(used[-1]) if len(used) else None,
            "mean": mean,
            "std": float(np.sqrt((((levels - mean) ** 2) * self._grey).sum() / total)),
            "histogram": _coarse(self._grey),
            "extra": {
                "looked_at": self._looked,
                "sizes": {f"{width} x {height}": n for (width, height), n in self._sizes.most_common(TOP)},
                "different_sizes": len(self._sizes),
                "widths": [min(size[0] for size in self._sizes), max(size[0] for size in self._sizes)],
                "heights": [min(size[1] for size in self._sizes), max(size[1] for size in self._sizes)],
                "modes": dict(self._modes.most_common()),
            },
        }

    def _look(self, data: bytes) -> None:
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            self._looked += 1
            self._sizes[image.size] += 1
            self._modes[image.mode] += 1
            self._pixels += image.size[0] * image.size[1]
            if self._pixels <= PICTURE_PIXELS:
                self._grey += np.asarray(image.convert("L").histogram(), np.int64)


class SoundMeasure:
    """Seconds of some sound files, evenly spread over the rows."""

    def __init__(self, rows: int) -> None:
        self._step = max(1, -(-rows // SOUNDS))
        self._seen = 0
        self._seconds: list[float] = []

    def add(self, array: Any) -> None:
        for place in range(-self._seen % self._step, len(array), self._step):
            value = array[place].as_py()
            if value is not None:
                self._seconds.append(len(sounds.decode(value)) / sounds.RATE)
        self._seen += len(array)

    def facts(self) -> dict[str, Any]:
        if not self._seconds:
            return {}
        seconds = np.array(self._seconds)
        edges = _edges((float(seconds.min()), float(seconds.max())), whole=False)
        return {
            "minimum": float(seconds.min()),
            "maximum": float(seconds.max()),
            "mean": float(seconds.mean()),
            "std": float(seconds.std()),
            "histogram": {
                "edges": edges.tolist(),
                "counts": np.histogram(seconds, edges)[0].tolist(),
            },
            "extra": {"looked_at": len(seconds), "seconds": float(seconds.sum())},
        }


def _measure(kind: ColumnKind, bounds: Range, rows: int) -> Measure:
    if kind in ("number", "integer"):
        return NumberMeasure(bounds, whole=kind == "integer")
    if kind == "timestamp":
        return TimeMeasure(bounds)
    if kind == "audio":
        return SoundMeasure(rows)
    return ImageMeasure(rows) if kind == "image" else StringMeasure()


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _edges(bounds: Range, whole: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Bins of equal width; one for each whole number where they are few."""
    if bounds is None:
        return np.empty(0)
    low, high = bounds
    if whole and max(-low, high) < EXACT / 2:
        step = (
            np.floor((high - low) / BINS) + 1
        )  # of whole numbers, or bins would hold now more of them, now less
        return np.arange(low - 0.5, high + step, step)
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    edges = np.linspace(low / 2, high / 2, BINS + 1) * 2  # halves: the span of two doubles may be no double
    return np.unique(np.concatenate(([low], edges[1:-1], [high])))  # of two neighbours only the ends are left


def _coarse(levels: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, list[float]]:
    """256 levels in 32 bins."""
    counts = levels.reshape(32, 8).sum(axis=1)
    return {"edges": [float(edge) for edge in range(0, 257, 8)], "counts": counts.tolist()}
