"""Which split each row belongs to. Depends on the rows' order, the seed and the classes, never on how rows
came in batches."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.types.dataset import SPLITS

PERMUTED_ROWS: Final = 10_000_000
"""Up to so many rows the splits' sizes are exact; above, each row is drawn by itself, in bounded memory (the
share of a split is then off by less than 0.1 %)."""

UNKNOWN: Final = -1
_DRAWN = 1_000_000

Codes = np.ndarray[Any, np.dtype[np.int8]]  # a split of each row: its index in SPLITS, or UNKNOWN
Classes = np.ndarray[Any, np.dtype[np.int16]]  # a class of each row


def assign(
    rows: int, classes: Classes | None, names: Sequence[str], fractions: Mapping[str, float], seed: int
) -> Codes:
    """A random split of all rows, int8 [rows], stratified where `classes` is given; `names` are its classes'.

    Raises InvalidInput for a class with one row, and for a split that would be empty.
    """
    if classes is not None:
        _check_classes(classes, names)
    codes = _drawn(rows, classes, _held_out(fractions), seed)
    _check_filled(codes, fractions)
    return codes


def assign_by_order(order: np.ndarray[Any, np.dtype[np.float64]], fractions: Mapping[str, float]) -> Codes:
    """The first rows to train, the next ones to validation, the last ones to test, by `order` [rows]. Rows that are
    alike in it are of one split, the earlier one. Raises InvalidInput for a split that would be empty."""
    values = np.sort(order)
    codes = np.zeros(len(order), np.int8)
    begun = 0.0
    for index, split in enumerate(SPLITS):
        first = round(begun * len(order))
        if 0 < first < len(order):
            codes[order >= _next_value(values, first)] = index
        begun += fractions.get(split, 0.0)
        if begun >= 1 - 1e-9:
            break
    _check_filled(codes, fractions)
    return codes


def complete(given: Codes, classes: Classes | None, fractions: Mapping[str, float], seed: int) -> Codes:
    """The sources' own splits, with each one that they lack and that has a fraction carved from train's rows.

    Raises InvalidInput where the sources give no row to train, or too few to carve from.
    """
    train = np.flatnonzero(given == SPLITS.index("train"))
    if not len(train):
        raise InvalidInput("the sources give no row to the split 'train'", came=_found(given))
    lacking = {s: f for s, f in _held_out(fractions).items() if not np.any(given == SPLITS.index(s))}
    if not lacking:
        return given
    codes = given.copy()
    codes[train] = _drawn(len(train), None if classes is None else classes[train], lacking, seed)
    for split in ("train", *lacking):
        if not np.any(codes == SPLITS.index(split)):
            raise InvalidInput(f"split {split!r} would be empty", came=f"{len(train)} rows given to train")
    return codes


def count(codes: Codes) -> dict[str, int]:
    """Rows of each split."""
    counts = np.bincount(codes, minlength=len(SPLITS))
    return {split: int(counts[index]) for index, split in enumerate(SPLITS)}


def _held_out(fractions: Mapping[str, float]) -> dict[str, float]:
    return {s: fractions[s] for s in SPLITS if s != "train" and fractions.get(s, 0.0) > 0}


def _check_filled(codes: Codes, fractions: Mapping[str, float]) -> None:
    for index, split in enumerate(SPLITS):
        if fractions.get(split, 0.0) > 0 and not np.any(codes == index):
            raise InvalidInput(
                f"split {split!r} would be empty",
                came=f"{len(codes)} rows in shares of {_listed(fractions)}",
                allowed="more rows, or a share of 0 for this split",
            )


def _next_value(values: np.ndarray[Any, np.dtype[np.float64]], first: int) -> float:
    """Of ascending `values`, the first from place `first` on that does not stand before it too; else infinity."""
    place = first
    if values[first] == values[first - 1]:
        place = int(np.searchsorted(values, values[first], side="right"))
    return float(values[place]) if place < len(values) else float("inf")


def _check_classes(classes: Classes, names: Sequence[str]) -> None:
    counts = np.bincount(classes, minlength=len(names))
    single = [names[int(index)] for index in np.flatnonzero(counts == 1)]
    if single:
        listed = ", ".join(repr(name) for name in single[:10])
        raise InvalidInput(
            "a split in proportion to the classes needs two rows of each at least",
            came=f"one row of class {listed}" + (f" and {len(single) - 10} more" if len(single) > 10 else ""),
            allowed="more rows of it, those rows left out, or stratify: false",
        )


def _drawn(rows: int, classes: Classes | None, held_out: Mapping[str, float], seed: int) -> Codes:
    generator = np.random.default_rng(seed)
    if rows > PERMUTED_ROWS:
        return _drawn_one_by_one(rows, held_out, generator)
    order = generator.permutation(rows)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
        sizes = np.bincount(classes)
    else:
        sizes = np.array([rows])
    codes = np.zeros(rows, np.int8)
    end = 0
    for size in sizes:
        start, end = end, end + int(size)
        taken = start
        for split, number in _shares(start, end, held_out).items():
            codes[order[taken : taken + number]] = SPLITS.index(split)
            taken += number
    return codes


def _shares(start: int, end: int, held_out: Mapping[str, float]) -> dict[str, int]:
    """How many of the places start..end go to each held-out split: the difference of two roundings, so that
    each class is within one of its share and all classes together too. One place at least is left to
    train."""
    left = end - start - 1
    shares: dict[str, int] = {}
    for split, fraction in held_out.items():
        number = int(np.floor(end * fraction + 0.5)) - int(np.floor(start * fraction + 0.5))
        shares[split] = max(0, min(number, left))
        left -= shares[split]
    return shares


def _drawn_one_by_one(rows: int, held_out: Mapping[str, float], generator: np.random.Generator) -> Codes:
    codes = np.zeros(rows, np.int8)
    for start in range(0, rows, _DRAWN):
        draws = generator.random(min(_DRAWN, rows - start))
        low = 0.0
        for split, fraction in held_out.items():
            inside = (draws >= low) & (draws < low + fraction)
            codes[start : start + len(draws)][inside] = SPLITS.index(split)
            low += fraction
    return codes


def _found(given: Codes) -> str:
    return ", ".join(f"{n} rows for {s}" for s, n in count(given).items() if n)


def _listed(fractions: Mapping[str, float]) -> str:
    return ", ".join(f"{split} {fractions[split]:g}" for split in SPLITS if split in fractions)
