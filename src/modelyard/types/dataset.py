"""The data set version: `dataset.json`, Parquet files, a profile."""

from typing import Any, Final, Literal

from msgspec import Struct

from modelyard.types.package import FileEntry

DATASET_MANIFEST_NAME: Final = "dataset.json"
SPLIT_COLUMN: Final = "split"
SPLITS: Final = ("train", "validation", "test")

ColumnKind = Literal["number", "integer", "boolean", "category", "text", "timestamp", "image", "audio"]


class Column(Struct, frozen=True, kw_only=True):
    """One column. Its Parquet type follows from `kind`: number double, integer int64, boolean bool, category and
    text string, timestamp timestamp[us], image and audio binary (the encoded file)."""

    name: str
    kind: ColumnKind
    nullable: bool = True


class Schema(Struct, frozen=True, kw_only=True):
    """Columns in their order, without the split column. `label` names the column to predict, where there is one."""

    columns: tuple[Column, ...]
    label: str | None = None

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)


class DatasetManifest(Struct, frozen=True, kw_only=True):
    """`dataset.json`. Its digest names the version, so it holds content and nothing of where or when.

    The Parquet file has the schema's columns and a string column `split`, one of SPLITS. `class_names` are the
    label's values, sorted (numbers by value), where the label is a category or a boolean or an integer of at most
    1,000 values.
    """

    format_version: int = 1
    schema: Schema
    rows: int
    split_rows: dict[str, int]
    class_names: tuple[str, ...] = ()
    data: str = "data.parquet"
    files: dict[str, FileEntry] = {}


class ColumnProfile(Struct, frozen=True, kw_only=True):
    """What was found in one column. Numbers are of the values that are not missing.

    `histogram` is {"edges": [n + 1 floats], "counts": [n ints]}; `top` the most frequent values with their counts.
    For images `minimum` and `maximum` are of their pixels and `extra` holds widths, heights and modes.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    distinct_is_exact: bool = True
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    top: tuple[tuple[str, int], ...] = ()
    histogram: dict[str, list[float]] | None = None
    extra: dict[str, Any] = {}


class Profile(Struct, frozen=True, kw_only=True):
    """`profile.json`, beside the manifest and not part of the version's digest.

    `duplicates` counts rows that repeat an earlier one; `leaked` rows of one split that stand in another too
    (keys as "train/test"). Both are exact up to 1,000,000 rows and estimates above (`sampled`).
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    class_balance: dict[str, dict[str, int]] = {}  # split -> class -> rows
    duplicates: int = 0
    leaked: dict[str, int] = {}
    sampled: bool = False
    warnings: tuple[str, ...] = ()
