"""Sources into a version's folder: two passes to learn what is there, one to write, one to describe."""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from modelyard.datasets.options import IngestOptions, check_options
from modelyard.datasets.page import render_page
from modelyard.datasets.profile import describe
from modelyard.datasets.profile_text import render_text
from modelyard.datasets.readers import Reader
from modelyard.datasets.scan import find_label, scan
from modelyard.datasets.sources import open_sources
from modelyard.datasets.splits import count
from modelyard.datasets.survey import Survey, survey
from modelyard.datasets.values import convert
from modelyard.datasets.writer import CanonicalWriter
from modelyard.errors import Conflict
from modelyard.files import sha256_file, sync_folder
from modelyard.types.dataset import DATASET_MANIFEST_NAME, SPLITS, Column, ColumnKind, DatasetManifest, Schema
from modelyard.types.package import FileEntry
from modelyard.types.run import Reporter

DATA_NAME: Final = "data.parquet"
_STEPS = 4


def ingest(sources: Sequence[Path], options: IngestOptions, out: Path, reporter: Reporter) -> DatasetManifest:
    """Write a version made of `sources` (files, folders, zips; none for a built-in name) to the folder `out`.

    `out` is complete when this returns and is not there when it raises. Memory is bounded: rows go through in
    batches. Raises InvalidInput, UnknownName, TooLarge or NotAllowedFormat for what cannot be used,
    MissingExtra for a built-in set whose library is not installed, Conflict where `out` has something in it,
    Cancelled."""
    check_options(options)
    with _new_folder(Path(out)) as folder:
        work = folder / ".work"
        work.mkdir()
        with open_sources(sources, options, work) as reader:
            manifest = _write(reader, options, folder, reporter)
        shutil.rmtree(work)
    return manifest


def _write(reader: Reader, options: IngestOptions, folder: Path, reporter: Reporter) -> DatasetManifest:
    kinds = scan(reader, options, reporter)
    label = find_label(list(kinds), options.label, reader.label)
    found = survey(reader, kinds, label, options, reporter)
    nullable = _write_rows(reader, kinds, found, folder / DATA_NAME, reporter)
    columns = tuple(Column(name=n, kind=kind, nullable=n in nullable) for n, kind in kinds.items())
    data = folder / DATA_NAME
    manifest = DatasetManifest(
        schema=Schema(columns=columns, label=label),
        rows=found.rows,
        split_rows=count(found.codes),
        class_names=found.class_names,
        data=DATA_NAME,
        files={DATA_NAME: FileEntry(sha256=sha256_file(data), size=data.stat().st_size)},
    )
    text = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"
    _write_synced(folder / DATASET_MANIFEST_NAME, text)
    _write_profile(folder, manifest, [*reader.notes, *_notes(found)], reporter)
    return manifest


def _write_profile(folder: Path, manifest: DatasetManifest, notes: Sequence[str], reporter: Reporter) -> None:
    profile, samples = describe(folder / manifest.data, manifest, notes, reporter)
    _write_synced(
        folder / "profile.json", msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n"
    )
    _write_synced(folder / "profile.txt", render_text(profile, manifest).encode())
    _write_synced(folder / "profile.html", render_page(profile, manifest, samples).encode())


def _notes(found: Survey) -> list[str]:
    return [
        f"the sources give no split {split!r}: it was drawn from the rows of train." for split in found.carved
    ]


def _write_rows(
    reader: Reader, kinds: dict[str, ColumnKind], found: Survey, path: Path, reporter: Reporter
) -> set[str]:
    """Write all rows; the names of the columns in which something is missing."""
    nullable: set[str] = set()
    names = pa.array(SPLITS, pa.string())
    done = 0
    with CanonicalWriter(path, kinds) as writer:
        for chunk in reader.batches(list(kinds)):
            reporter.check()
            arrays = [convert(chunk.batch.column(n), n, kind, done + 1) for n, kind in kinds.items()]
            nullable |= {n for n, array in zip(kinds, arrays, strict=True) if array.null_count}
            codes = pa.array(found.codes[done : done + chunk.batch.num_rows])
            writer.add([*arrays, names.take(codes)])
            done += chunk.batch.num_rows
            reporter.progress(2 + done / found.rows, _STEPS, f"writing: {done:,} of {found.rows:,} rows")
        writer.finish()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return nullable


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes it at the end, and is removed on any error."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Conflict(f"the folder {out.name!r} for the data set version has something in it already")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".tmp-{secrets.token_hex(6)}")
    folder.mkdir()
    try:
        yield folder
        sync_folder(folder)
        os.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync_folder(out.parent)
