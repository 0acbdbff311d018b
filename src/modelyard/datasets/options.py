"""What an owner may say about data that is being added."""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import SPLITS

BUILTIN: Final = ("breast-cancer", "diabetes", "digits", "fashion-mnist", "iris", "wine")
"""Data sets that need no file: Fashion-MNIST from Debian's package, the others from scikit-learn's wheel."""

FORMATS: Final = ("audio", "csv", "idx", "images", "jsonl", "npz", "parquet")
KINDS: Final = ("audio", "boolean", "category", "image", "integer", "number", "text", "timestamp")


class IngestOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sources become a version.

    builtin       one of BUILTIN instead of files
    format        one of FORMATS; None: look at the content and the name
    columns       column name -> kind, over what the values look like
    label         the column to predict; None: the one called label, target, class or y, if exactly one is
    split_column  a column that says each row's split (train, val, dev, test, ...)
    order_by      a column of times or of order: the first rows by it train, then come validation and test, and rows
                  that are alike in it stay together. None: a random split
    fractions     split -> share of the rows; they add up to 1. Where the sources give splits themselves, one
                  that they do not give is carved from train: its share here, of train's rows
    seed          of the random split
    stratify      keep the label's classes in proportion over the splits; None: when the label is a class
    drop          columns to leave out
    """

    builtin: str | None = None
    format: str | None = None
    columns: dict[str, str] = {}
    label: str | None = None
    split_column: str | None = None
    order_by: str | None = None
    fractions: dict[str, float] = field(
        default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1}
    )
    seed: int = 0
    stratify: bool | None = None
    drop: tuple[str, ...] = ()


def read_options(data: Mapping[str, Any]) -> IngestOptions:
    """Options from JSON values. Raises UnknownName for a key that is not known, InvalidInput for a value."""
    known = IngestOptions.__struct_fields__
    for key in data:
        if key not in known:
            raise UnknownName("option", str(key), known)
    try:
        options = msgspec.convert(dict(data), IngestOptions)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"options of a data set: {error}") from error
    check_options(options)
    return options


def check_options(options: IngestOptions) -> None:
    """Raise UnknownName or InvalidInput for values that no data could satisfy."""
    if options.builtin is not None and options.builtin not in BUILTIN:
        raise UnknownName("built-in data set", options.builtin, BUILTIN)
    if options.format is not None and options.format not in FORMATS:
        raise UnknownName("format", options.format, FORMATS)
    for column, kind in options.columns.items():
        if kind not in KINDS:
            raise UnknownName("kind", kind, KINDS, where=f"column {column!r}")
    if options.seed < 0:
        raise InvalidInput("seed of the split", came=options.seed, allowed="0 or more")
    if options.order_by is not None and (options.stratify or options.split_column is not None):
        raise InvalidInput(
            "a split by order is neither in proportion to classes nor said by a column",
            came=f"order_by {options.order_by}",
            allowed="order_by, or stratify, or split_column",
        )
    if options.label is not None and options.label in options.drop:
        raise InvalidInput(f"the label {options.label!r} is among the columns to drop")
    _check_fractions(options.fractions)


def _check_fractions(fractions: Mapping[str, float]) -> None:
    for split, share in fractions.items():
        if split not in SPLITS:
            raise UnknownName("split", split, SPLITS, where="fractions")
        if not math.isfinite(share) or share < 0:
            raise InvalidInput(f"fraction of {split}", came=share, allowed="a number from 0 to 1")
    if fractions.get("train", 0.0) <= 0:
        raise InvalidInput(
            "fractions leave train without rows", came=dict(fractions), allowed="train above 0"
        )
    if abs(math.fsum(fractions.values()) - 1) > 1e-6:
        raise InvalidInput("fractions do not add up to 1", came=math.fsum(fractions.values()), allowed="1")
