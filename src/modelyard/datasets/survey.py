"""The second pass, over the label and the split column alone: classes, and the splits that the sources
give."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.datasets.entries import SPLIT_NAMES, split_of
from modelyard.datasets.options import IngestOptions
from modelyard.datasets.readers import Reader
from modelyard.datasets.scan import MANY_VALUES
from modelyard.datasets.splits import UNKNOWN, Classes, Codes, assign, assign_by_order, complete
from modelyard.datasets.values import as_text, convert
from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import SPLITS, ColumnKind
from modelyard.types.run import Reporter

_CLASS_KINDS = ("category", "boolean", "integer")
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Survey:
    """`classes` is each row's index in `class_names`, or None where the label is no class; `codes` each row's
    split."""

    rows: int
    class_names: tuple[str, ...]
    classes: Classes | None
    codes: Codes
    carved: tuple[str, ...] = ()


def survey(
    reader: Reader,
    kinds: dict[str, ColumnKind],
    label: str | None,
    options: IngestOptions,
    reporter: Reporter,
) -> Survey:
    """Read the label and the splits of all rows, and split them.

    Raises InvalidInput for sources without rows, rows without a label, unknown names of splits, and for what
    `splits.assign` and `splits.complete` refuse.
    """
    labels = _Labels(label, kinds[label]) if label is not None else None
    given = _Given(options.split_column)
    order = _Order(options.order_by, kinds) if options.order_by is not None else None
    wanted = (label, options.split_column, options.order_by)
    names = list(dict.fromkeys(name for name in wanted if name is not None)) or [reader.columns[0]]
    for chunk in reader.batches(names):
        reporter.check()
        if labels is not None:
            labels.add(chunk.batch.column(label))
        given.add(chunk.batch, chunk.split)
        if order is not None:
            order.add(chunk.batch)
        reporter.progress(1, 4, f"looking at the label and the splits: {given.rows:,} rows")
    if given.rows == 0:
        raise InvalidInput("the sources have no rows")
    class_names, classes = labels.finish() if labels is not None else ((), None)
    if order is not None:
        if given.finish() is not None:
            raise InvalidInput("the sources give splits themselves", came="order_by", allowed="one of both")
        codes = assign_by_order(order.finish(), options.fractions)
        return Survey(rows=given.rows, class_names=class_names, classes=classes, codes=codes)
    return _split(given, class_names, classes, kinds.get(label or ""), options)


def _split(
    given: "_Given", names: Sequence[str], classes: Classes | None, kind: str | None, options: IngestOptions
) -> Survey:
    by_class = classes if _stratified(options.stratify, kind, names, given.rows) else None
    own = given.finish()
    carved: tuple[str, ...] = ()
    if own is None:
        codes = assign(given.rows, by_class, names, options.fractions, options.seed)
    else:
        codes = complete(own, by_class, options.fractions, options.seed)
        carved = tuple(s for i, s in enumerate(SPLITS) if np.any(codes == i) and not np.any(own == i))
    return Survey(rows=given.rows, class_names=tuple(names), classes=classes, codes=codes, carved=carved)


def _stratified(said: bool | None, kind: str | None, names: Sequence[str], rows: int) -> bool:
    """Whole numbers are taken for classes only where there are ten rows for each at least: they may be a
    target to regress on."""
    if said is None:
        return bool(names) and (kind != "integer" or rows >= 10 * len(names))
    if said and not names:
        raise InvalidInput(
            "stratify needs a label that is a class",
            came="no label" if kind is None else f"a label of kind {kind}",
            allowed=f"a category, boolean or integer of at most {MANY_VALUES} values; or stratify: false",
        )
    return said


class _Labels:
    """The label's values, as codes in order of first appearance until `finish` sorts them."""

    def __init__(self, name: str, kind: ColumnKind) -> None:
        if kind in ("image", "audio"):
            raise InvalidInput(
                f"the label {name!r} is a column of {kind} files", allowed="a class, a number or a text"
            )
        self._name, self._kind = name, kind
        self._rows = 0
        self._missing: list[int] = []
        self._missing_count = 0
        self._known: list[str] | None = [] if kind in _CLASS_KINDS else None
        self._codes: list[np.ndarray[Any, np.dtype[np.int16]]] = []

    def add(self, array: Any) -> None:
        values = convert(array, self._name, self._kind, self._rows + 1)
        if values.null_count:
            self._missing_count += values.null_count
            if len(self._missing) < _SHOWN:
                found = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
                self._missing += [self._rows + 1 + int(row) for row in found[: _SHOWN - len(self._missing)]]
        elif self._known is not None:
            self._encode(values.cast(pa.string()))
        self._rows += len(values)

    def finish(self) -> tuple[tuple[str, ...], Classes | None]:
        """Class names sorted (numbers by value), and each row's index among them."""
        if self._missing_count:
            rows = ", ".join(str(row) for row in self._missing)
            more = "" if self._missing_count <= len(self._missing) else ", ..."
            raise InvalidInput(
                f"the label {self._name!r} is missing in {self._missing_count} of {self._rows} rows",
                came=f"nothing in row {rows}{more}",
                allowed="a value in every row; leave those rows out before adding the data",
            )
        if self._known is None:
            return (), None
        order = sorted(range(len(self._known)), key=_class_order(self._known))
        ranks = np.empty(len(order), np.int16)
        ranks[order] = np.arange(len(order))
        codes = np.concatenate(self._codes) if self._codes else np.empty(0, np.int16)
        return tuple(self._known[index] for index in order), ranks[codes]

    def _encode(self, text: Any) -> None:
        assert self._known is not None
        fresh = set(pc.unique(text).to_pylist()) - set(self._known)
        self._known += sorted(fresh)
        if len(self._known) > MANY_VALUES:
            self._known = None
            self._codes = []
            return
        found = pc.index_in(text, value_set=pa.array(self._known, pa.string()))
        self._codes.append(found.to_numpy(zero_copy_only=False).astype(np.int16))


def _class_order(names: list[str]) -> Any:
    try:
        numbers = [int(name) for name in names]
    except ValueError:
        return lambda index: names[index]
    return lambda index: (numbers[index], names[index])


class _Order:
    """The values of the column that rows are split by: numbers, or times as microseconds."""

    def __init__(self, name: str, kinds: dict[str, ColumnKind]) -> None:
        if name not in kinds:
            raise UnknownName("column to order by", name, kinds)
        self._name, self._kind = name, kinds[name]
        if self._kind not in ("timestamp", "integer", "number"):
            raise InvalidInput(
                f"rows cannot be ordered by {name!r}", came=self._kind, allowed="timestamp, integer, number"
            )
        self._rows = 0
        self._parts: list[np.ndarray[Any, np.dtype[np.float64]]] = []

    def add(self, batch: Any) -> None:
        values = convert(batch.column(self._name), self._name, self._kind, self._rows + 1)
        if values.null_count:
            raise InvalidInput(
                f"column {self._name!r}, which rows are ordered by, is missing in some of them",
                allowed="a value in every row",
            )
        if self._kind == "timestamp":
            values = values.cast(pa.int64())
        self._parts.append(np.asarray(values.to_numpy(zero_copy_only=False), np.float64))
        self._rows += len(values)

    def finish(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.concatenate(self._parts)


class _Given:
    """The splits that sources give: by a column, or by files and folders."""

    def __init__(self, column: str | None) -> None:
        self.rows = 0
        self._column = column
        self._codes: list[Codes] = []
        self._unknown: set[str] = set()

    def add(self, batch: Any, split: str | None) -> None:
        if self._column is not None:
            codes = self._of_column(batch.column(self._column))
        else:
            codes = np.full(batch.num_rows, UNKNOWN if split is None else SPLITS.index(split), np.int8)
        self._codes.append(codes)
        self.rows += batch.num_rows

    def finish(self) -> Codes | None:
        """Each row's split; None where the sources give none."""
        if self._unknown:
            raise InvalidInput(
                f"the split column {self._column!r} holds values that name no split",
                came=", ".join(repr(value[:40]) for value in sorted(self._unknown)[:_SHOWN]),
                allowed=SPLIT_NAMES,
            )
        codes = np.concatenate(self._codes)
        return None if np.all(codes == UNKNOWN) else codes

    def _of_column(self, array: Any) -> Codes:
        text = as_text(array).fill_null("")
        values = pc.unique(text).to_pylist()
        splits = [split_of(value) for value in values]
        self._unknown |= {value for value, split in zip(values, splits, strict=True) if split is None}
        table = np.array([UNKNOWN if s is None else SPLITS.index(s) for s in splits], np.int8)
        found = pc.index_in(text, value_set=pa.array(values, pa.string()))
        result: Codes = table[found.to_numpy(zero_copy_only=False)]
        return result
