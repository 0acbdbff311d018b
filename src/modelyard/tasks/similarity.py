"""How alike vectors are where what they stand for is alike: figures for vectors, in NumPy.

What something stands for is a set: a path "/animal/dog" is the set of its beginnings, any other text the set of
its words. Two sets are alike by Dice's coefficient, twice what they share over all they have (Dice 1945), which
for paths in a tree is the similarity of Wu and Palmer 1994 (Verbs semantics and lexical selection, section 4).
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput

Codes = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.floating[Any]]
MEMBERS: Final = 32  # of a set; more are left out
PAIRS: Final = 4000
NEIGHBOURS: Final = 10
_COMPARED: Final = 2000  # rows that neighbours are looked for among


def codes(values: Sequence[Any]) -> Codes:
    """Sets as numbers of their members, int64 [rows, MEMBERS], 0 for none. Raises InvalidInput on missing
    values."""
    missing = sum(not isinstance(value, str) or not value.strip() for value in values)
    if missing:
        raise InvalidInput(
            "the column that vectors are compared by has missing values",
            came=f"{missing} of {len(values)} rows",
        )
    found = np.zeros((len(values), MEMBERS), np.int64)
    for row, value in enumerate(values):
        numbers = [zlib.crc32(member.encode()) + 1 for member in _members(value)][:MEMBERS]
        found[row, : len(numbers)] = numbers
    return found


def correlation(vectors: Vectors, targets: Codes) -> float:
    """Spearman's rank correlation of the cosine of two vectors and the likeness of their sets, over the same
    PAIRS of rows each time; 0 where either does not vary."""
    one, other = _pairs(len(vectors))
    units = unit(vectors)
    cosines = (units[one] * units[other]).sum(axis=1)
    apart = (vectors[one] != vectors[other]).any(
        axis=1
    )  # a row and its copy, in a bootstrap, agree for nothing
    if apart.sum() < 2:
        return 0.0
    return _spearman(cosines[apart], alike(targets[one][apart], targets[other][apart]))


def neighbours_alike(vectors: Vectors, targets: Codes) -> tuple[float, float]:
    """The mean likeness of a row's set to those of the nearest rows, and to those of any rows."""
    one, other = _pairs(len(vectors))
    by_chance = float(alike(targets[one], targets[other]).mean())
    vectors, targets = vectors[:_COMPARED], targets[:_COMPARED]
    units = unit(vectors)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    count = min(NEIGHBOURS, len(vectors) - 1)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    rows = np.repeat(np.arange(len(vectors)), count)
    return float(alike(targets[rows], targets[nearest.ravel()]).mean()), by_chance


def alike(one: Codes, other: Codes) -> npt.NDArray[np.float64]:
    """Dice's coefficient of sets [pairs, members], float64 [pairs]."""
    width = max(1, int((one > 0).sum(axis=1).max(initial=1)), int((other > 0).sum(axis=1).max(initial=1)))
    one, other = one[:, :width], other[:, :width]
    shared = ((one[:, :, None] == other[:, None, :]) & (one > 0)[:, :, None]).sum(axis=(1, 2))
    return np.asarray(2 * shared / np.maximum((one > 0).sum(axis=1) + (other > 0).sum(axis=1), 1))


def unit(vectors: Vectors) -> Vectors:
    """Of length 1, float32; those of length 0 stay."""
    values = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, np.finfo(np.float32).tiny))


def _members(value: str) -> list[str]:
    """Each once, in their order."""
    if value.startswith("/"):
        parts = value.strip("/").split("/")
        return ["/".join(parts[: k + 1]) for k in range(len(parts))]
    return list(dict.fromkeys(re.findall(r"\w+", value.lower()))) or [value]


def _pairs(rows: int) -> tuple[Codes, Codes]:
    """Numbers of two different rows, the same for the same number of rows."""
    if rows < 2:
        raise InvalidInput(
            "vectors are compared with each other", came=f"{rows} row", allowed="2 rows or more"
        )
    random = np.random.default_rng(0)
    one = random.integers(0, rows, PAIRS)
    return one, (one + random.integers(1, rows, PAIRS)) % rows


def _spearman(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    first, second = _ranks(one), _ranks(other)
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Ties share the mean of their ranks."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[group]
