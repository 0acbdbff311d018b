"""What an owner should know before training, in plain words."""

from collections.abc import Iterator

import msgspec

from modelyard.types.dataset import SPLITS, ColumnProfile, DatasetManifest, Profile

_LIKE_MISSING = ("NA", "None", "none", "?", "-", "unknown", "missing")
_FEW_TEST_ROWS = 100
_NAMED = 5


def warnings_of(profile: Profile, manifest: DatasetManifest) -> Profile:
    """The profile with its warnings, after those that it has already."""
    found = [
        *_of_rows(profile, manifest),
        *_of_classes(profile),
        *(text for column in profile.columns for text in _of_column(column, profile, manifest)),
    ]
    return msgspec.structs.replace(profile, warnings=(*profile.warnings, *found))


def _of_rows(profile: Profile, manifest: DatasetManifest) -> Iterator[str]:
    about = "about " if profile.sampled else ""
    for pair, rows in profile.leaked.items():
        first, second = pair.split("/")
        share = rows / max(1, manifest.split_rows[second])
        yield (
            f"{about}{rows:,} rows of {second} ({share:.1%}) stand in {first} too: "
            f"figures on {second} will look better than they are."
        )
    if profile.duplicates:
        share = profile.duplicates / profile.rows
        yield f"{about}{profile.duplicates:,} rows ({share:.1%}) repeat an earlier row."
    tested = manifest.split_rows.get("test", 0)
    if 0 < tested < _FEW_TEST_ROWS:
        yield f"test has {tested} rows only: figures on it have wide intervals."


def _of_classes(profile: Profile) -> Iterator[str]:
    if not profile.class_balance:
        return
    totals = {
        name: sum(profile.class_balance[split].get(name, 0) for split in SPLITS)
        for name in profile.class_balance["train"]
    }
    if len(totals) == 1:
        yield f"the label has one class only, {next(iter(totals))!r}: there is nothing to learn."
        return
    most, least = max(totals, key=lambda n: totals[n]), min(totals, key=lambda n: totals[n])
    if totals[most] >= 10 * max(1, totals[least]):
        yield (
            f"classes are out of balance: {most!r} has {totals[most]:,} rows and {least!r} {totals[least]:,};"
            " look at figures for each class, not at accuracy alone."
        )
    for split in SPLITS:
        rows = profile.class_balance[split]
        lacking = [name for name in totals if not rows.get(name, 0)] if any(rows.values()) else []
        if lacking:
            yield f"{split} has no row of {_named(lacking)}."


def _of_column(column: ColumnProfile, profile: Profile, manifest: DatasetManifest) -> Iterator[str]:
    name, rows = repr(column.name), profile.rows
    if column.missing == rows:
        yield f"column {name} is empty."
        return
    if column.missing >= rows / 20:
        yield f"column {name} lacks {column.missing:,} of {rows:,} values ({column.missing / rows:.1%})."
    if column.name == manifest.schema.label:
        return
    if column.distinct == 1 and rows > 1:
        yield f"column {name} has one value only: it tells nothing."
    if column.extra.get("infinite"):
        yield f"column {name} holds {column.extra['infinite']:,} infinite values."
    if _is_id(column, rows):
        yield f"column {name} has another value in every row, like an id: nothing can be learnt from it."
    odd = [(value, count) for value, count in column.top if value in _LIKE_MISSING]
    for value, count in odd:
        yield f"column {name} holds {value!r} in {count:,} rows: it reads like a missing value, and was kept."
    if column.extra.get("different_sizes", 0) > 1:
        yield f"images have {column.extra['different_sizes']:,} different sizes."
    if len(column.extra.get("modes", {})) > 1:
        yield f"images are of different colour modes: {', '.join(column.extra['modes'])}."


def _is_id(column: ColumnProfile, rows: int) -> bool:
    if rows < 50 or column.missing or not column.distinct_is_exact or column.distinct != rows:
        return False
    if column.kind == "integer":
        assert column.minimum is not None
        assert column.maximum is not None
        return column.maximum - column.minimum == rows - 1
    return column.kind in ("category", "text") and column.extra.get("longest", 0) <= 40


def _named(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more classes"
