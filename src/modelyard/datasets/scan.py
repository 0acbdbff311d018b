"""The first pass: what each column's values have in common, over all rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.datasets.options import IngestOptions
from modelyard.datasets.readers import Reader
from modelyard.datasets.values import EXACT, as_text, bare, is_whole, parsed
from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import SPLIT_COLUMN, ColumnKind
from modelyard.types.run import Reporter

FEW_VALUES: Final = 20
"""Strings of at most so many distinct values are a category however few rows there are."""

MANY_VALUES: Final = 1000
"""Strings of more distinct values than this are text."""

LONG_VALUE: Final = 100
"""A value of more characters than this makes a column text."""

LABEL_NAMES: Final = ("label", "target", "class", "y")

_FORMS = ("integer", "number", "boolean", "naive", "zoned")


class ColumnScan:
    """What is still possible for a column after the batches so far. The order of the batches does not
    matter."""

    def __init__(self) -> None:
        self._known = 0  # values that are not missing
        self._formed = 0  # of those, the ones that forms were tried on
        self._possible = {*_FORMS, "whole"}
        self._distinct: set[str] | None = set()
        self._longest = 0
        self._binary = False

    def add(self, array: Any) -> None:
        """Look at a plain array."""
        if pa.types.is_binary(array.type):
            self._binary = True
        elif pa.types.is_string(array.type):
            text = as_text(array).drop_null()
            self._keep(bare(array).drop_null(), _string_forms)
            self._count(text)
        else:
            known = array.drop_null()
            self._keep(known, _typed_forms)
            self._count(known if self._distinct is None else as_text(known))

    def kind(self, *, label: bool) -> ColumnKind:
        """The narrowest kind that all values fit. A label of strings is a category up to MANY_VALUES."""
        if self._binary:
            return "image"
        if self._known == 0:
            return "number"
        for form, kind in _KINDS.items() if self._formed else ():
            if form in self._possible:
                return kind
        return "category" if self._is_category(label) else "text"

    def _keep(self, known: Any, forms: Callable[[Any, set[str]], set[str]]) -> None:
        self._formed += len(known)
        if self._possible and len(known):
            self._possible &= forms(known, self._possible)

    def _count(self, known: Any) -> None:
        self._known += len(known)
        if self._distinct is None or not len(known):
            return
        self._longest = max(self._longest, pc.max(pc.utf8_length(known)).as_py())
        self._distinct.update(pc.unique(known).to_pylist())
        if len(self._distinct) > MANY_VALUES:
            self._distinct = None

    def _is_category(self, label: bool) -> bool:
        if self._distinct is None:
            return False
        if label:
            return True
        few = len(self._distinct) <= FEW_VALUES or len(self._distinct) <= self._known / 2
        return few and self._longest <= LONG_VALUE


_KINDS: Final[dict[str, ColumnKind]] = {
    "integer": "integer",
    "whole": "integer",
    "number": "number",
    "boolean": "boolean",
    "naive": "timestamp",
    "zoned": "timestamp",
}


def scan(reader: Reader, options: IngestOptions, reporter: Reporter) -> dict[str, ColumnKind]:
    """The kind of each column that is kept, in order: said in the options, known by the format, or inferred.

    Raises UnknownName for options that name a column which is not there, InvalidInput for a `split` column
    that nobody declared."""
    _check_names(reader.columns, options)
    kept = [name for name in reader.columns if name not in options.drop and name != options.split_column]
    if not kept:
        raise InvalidInput("no column is left to make a data set of", came=f"columns {list(reader.columns)}")
    label = find_label(kept, options.label, reader.label)
    said: Mapping[str, str] = {**reader.kinds, **options.columns}
    open_names = [name for name in kept if name not in said]
    scans = {name: ColumnScan() for name in open_names}
    rows = 0
    for chunk in reader.batches(open_names) if open_names else ():
        reporter.check()
        for name in open_names:
            scans[name].add(chunk.batch.column(name))
        rows += chunk.batch.num_rows
        reporter.progress(0, 4, f"looking at the columns: {rows:,} rows")
    return {
        name: said[name] if name in said else scans[name].kind(label=name == label)  # type: ignore[misc]
        for name in kept
    }


def find_label(columns: Sequence[str], said: str | None, known: str | None) -> str | None:
    """The label's column: the one that was said, the one that the format knows, or an obvious one."""
    if said is not None:
        if said not in columns:
            raise UnknownName("label column", said, columns)
        return said
    if known in columns:
        return known
    obvious = [name for name in columns if name.lower() in LABEL_NAMES]
    return obvious[0] if len(obvious) == 1 else None


def _check_names(columns: Sequence[str], options: IngestOptions) -> None:
    named = [*options.drop, *options.columns]
    named += [options.split_column] if options.split_column is not None else []
    for name in named:
        if name not in columns:
            raise UnknownName("column", name, columns)
    undeclared = SPLIT_COLUMN in columns and SPLIT_COLUMN not in (options.split_column, *options.drop)
    if undeclared:
        raise InvalidInput(
            f"the data has a column called {SPLIT_COLUMN!r}, a name that versions keep for their own",
            allowed=f"split_column: {SPLIT_COLUMN} where it says each row's split, or drop: [{SPLIT_COLUMN}]",
        )


def _string_forms(values: Any, possible: set[str]) -> set[str]:
    """The forms in `possible` that all strings have."""
    forms = {form for form in possible - {"number", "whole"} if parsed(values, form) is not None}
    numbers = parsed(values, "number") if possible & {"number", "whole"} else None
    if numbers is None:
        return forms
    return forms | {"number"} | ({"whole"} if is_whole(numbers) else set())


def _typed_forms(values: Any, possible: set[str]) -> set[str]:
    """The forms in `possible` that values of this type have."""
    if pa.types.is_boolean(values.type):
        return {"boolean"}
    if pa.types.is_timestamp(values.type):
        return {"naive", "zoned"}
    if pa.types.is_integer(values.type):
        return {"integer", "number"} if _beyond_exact(values) else {"integer", "number", "whole"}
    return {"number", "whole"} if "whole" in possible and is_whole(values) else {"number"}


def _beyond_exact(array: Any) -> bool:
    bounds = pc.min_max(array)
    return bool(bounds["min"].as_py() < -EXACT or bounds["max"].as_py() > EXACT)
