"""What a version holds, in figures: one pass over its Parquet file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard.datasets.findings import warnings_of
from modelyard.datasets.measures import ColumnMeasure, Range
from modelyard.datasets.sketch import RowCounts, hash_rows, hash_values
from modelyard.types.dataset import SPLIT_COLUMN, SPLITS, Column, DatasetManifest, Profile
from modelyard.types.run import Reporter

SAMPLES_PER_CLASS: Final = 8
SAMPLED_CLASSES: Final = 20
SAMPLE_BYTES: Final = 4 * 1024 * 1024

_SPLIT_NAMES = pa.array(SPLITS, pa.string())


@dataclass
class Samples:
    """Some images of each class, for the page: class name (empty without classes) -> encoded images."""

    images: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, images: Any, labels: Sequence[str]) -> None:
        for place, label in enumerate(labels):
            held = self.images.get(label)
            if held is None and len(self.images) == SAMPLED_CLASSES:
                continue
            if held is None or len(held) < SAMPLES_PER_CLASS:
                value = images[place].as_py()
                if value is not None and len(value) <= SAMPLE_BYTES:
                    self.images.setdefault(label, []).append(value)


def describe(
    data: Path, manifest: DatasetManifest, notes: Sequence[str], reporter: Reporter
) -> tuple[Profile, Samples]:
    """The profile of the Parquet file at `data`, with `notes` before its own warnings, and images to show."""
    columns, label = manifest.schema.columns, manifest.schema.label
    balance = (
        {split: dict.fromkeys(manifest.class_names, 0) for split in SPLITS} if manifest.class_names else {}
    )
    samples, counts, done = Samples(), RowCounts(len(SPLITS)), 0
    with pq.ParquetFile(data, pre_buffer=False) as file:
        measures = [ColumnMeasure(c.name, c.kind, _range(file, c), manifest.rows) for c in columns]
        for batch in _batches(file):
            reporter.check()
            splits = pc.index_in(batch.column(SPLIT_COLUMN), value_set=_SPLIT_NAMES).to_numpy(
                zero_copy_only=False
            )
            hashes = [hash_values(batch.column(column.name)) for column in columns]
            for measure, column, column_hashes in zip(measures, columns, hashes, strict=True):
                measure.add(batch.column(column.name), column_hashes)
            counts.add(hash_rows(hashes), splits.astype(np.int8))
            if balance:
                _add_balance(balance, batch.column(label), batch.column(SPLIT_COLUMN))
            _add_samples(samples, batch, columns, label if balance else None)
            done += batch.num_rows
            reporter.progress(3 + done / manifest.rows, 4, f"describing: {done:,} of {manifest.rows:,} rows")
    profile = Profile(
        rows=manifest.rows,
        columns=tuple(measure.finish() for measure in measures),
        class_balance=balance,
        duplicates=counts.duplicates(),
        leaked={
            f"{SPLITS[a]}/{SPLITS[b]}": shared
            for a, b in combinations(range(len(SPLITS)), 2)
            if (shared := counts.shared(a, b))
        },
        sampled=counts.sampled,
        warnings=tuple(notes),
    )
    return warnings_of(profile, manifest), samples


def _batches(file: Any) -> Iterator[Any]:
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, use_threads=False).combine_chunks()
        yield from table.to_batches()


def _range(file: Any, column: Column) -> Range:
    """Smallest and largest finite value (times in seconds): from the row groups' statistics where they are
    finite."""
    if column.kind not in ("number", "integer", "timestamp"):
        return None
    place = file.schema_arrow.get_field_index(column.name)
    groups = [file.metadata.row_group(group).column(place) for group in range(file.num_row_groups)]
    known = [
        group.statistics for group in groups if group.statistics is not None and group.statistics.has_min_max
    ]
    ends = [float(_seconds(end)) for statistics in known for end in (statistics.min, statistics.max)]
    if not np.all(np.isfinite(ends)):
        ends = _finite_ends(file, column.name)
    return (min(ends), max(ends)) if ends else None


def _seconds(value: Any) -> float:
    if hasattr(value, "isoformat"):
        return float(np.datetime64(value.replace(tzinfo=None), "us").astype(np.int64) / 1e6)
    return float(value)


def _finite_ends(file: Any, name: str) -> list[float]:
    ends: list[float] = []
    for group in range(file.num_row_groups):
        values = file.read_row_group(group, columns=[name]).column(0).drop_null().to_numpy()
        finite = values[np.isfinite(values)]
        ends += [float(finite.min()), float(finite.max())] if len(finite) else []
    return ends


def _add_balance(balance: dict[str, dict[str, int]], labels: Any, splits: Any) -> None:
    text = labels.cast(pa.string())
    for split in SPLITS:
        for pair in pc.value_counts(text.filter(pc.equal(splits, split))).to_pylist():
            balance[split][pair["values"]] += pair["counts"]


def _add_samples(samples: Samples, batch: Any, columns: Sequence[Column], label: str | None) -> None:
    image = next((column.name for column in columns if column.kind == "image"), None)
    if image is not None:
        labels = [""] * batch.num_rows if label is None else batch.column(label).cast(pa.string()).to_pylist()
        samples.add(batch.column(image), labels)
