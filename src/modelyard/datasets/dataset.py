"""Reading a version back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from modelyard.errors import Corrupt, InvalidInput, NotFound, UnknownName
from modelyard.files import sha256_bytes, sha256_file
from modelyard.types.dataset import (
    DATASET_MANIFEST_NAME,
    SPLIT_COLUMN,
    SPLITS,
    ColumnKind,
    DatasetManifest,
    Profile,
)

PROFILE_NAME = "profile.json"

Columns = dict[str, np.ndarray[Any, Any]]


def open_dataset(folder: Path, verify: bool = True, *, digest: str | None = None) -> "Dataset":
    """Open a version's folder.

    With `verify` every file that the manifest names is read and compared with its sha256; with `digest` the
    manifest itself too. Raises Corrupt naming the file, NotFound where there is no manifest."""
    folder = Path(folder)
    path = folder / DATASET_MANIFEST_NAME
    if not path.is_file():
        raise NotFound(f"no data set version here: {DATASET_MANIFEST_NAME} is missing")
    text = path.read_bytes()
    found = sha256_bytes(text)
    if digest is not None and found != digest:
        raise Corrupt(DATASET_MANIFEST_NAME, expected=digest, found=found)
    manifest = _read_manifest(text)
    if verify:
        _verify(folder, manifest)
    return Dataset(folder, manifest, found)


class Dataset:
    """A version: `.manifest`, and its rows by split. `digest` is the version's (hex sha256 of the
    manifest)."""

    def __init__(self, folder: Path, manifest: DatasetManifest, digest: str) -> None:
        self.folder, self.manifest, self.digest = folder, manifest, digest

    def columns(self, split: str | None = None, names: Sequence[str] | None = None) -> Columns:
        """All rows of a split (None: of all splits), in order, as one array for each column.

        number: float64, NaN for missing. integer: int64, or float64 with NaN where something is missing.
        boolean: bool, or float64 (0, 1, NaN) where something is missing. timestamp: datetime64[us], NaT for
        missing. category, text and image: object arrays of str or bytes, None for missing. Raises
        UnknownName."""
        parts = list(self._parts(split, self._checked(names)))
        return {
            name: _joined([part[name] for part in parts], self._kind(name)) for name in self._checked(names)
        }

    def batches(
        self, split: str | None = None, names: Sequence[str] | None = None, rows: int = 1024
    ) -> Iterator[Columns]:
        """The same in batches of `rows` rows (the last one may be shorter), in bounded memory.

        Whether a batch has int64 or float64 integers depends on what is missing in the batch itself.
        """
        wanted = self._checked(names)
        held: Columns | None = None
        for part in self._parts(split, wanted):
            held = part if held is None else _stacked(held, part, {n: self._kind(n) for n in wanted})
            size = len(held[wanted[0]])
            whole = size - size % rows
            for start in range(0, whole, rows):
                yield {name: held[name][start : start + rows] for name in wanted}
            held = {name: held[name][whole:] for name in wanted} if whole < size else None
        if held is not None:
            yield held

    @property
    def profile(self) -> Profile:
        """What `profile.json` holds. Raises NotFound where the folder has none."""
        path = self.folder / PROFILE_NAME
        if not path.is_file():
            raise NotFound("this data set version has no profile")
        return msgspec.json.decode(path.read_bytes(), type=Profile)

    def _parts(self, split: str | None, names: Sequence[str]) -> Iterator[Columns]:
        """Arrays of one row group after the other; groups without rows of the split are left out."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        if split is not None and split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        with pq.ParquetFile(self.folder / self.manifest.data, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=[*names, SPLIT_COLUMN], use_threads=False)
                if split is not None:
                    table = table.filter(pc.equal(table[SPLIT_COLUMN], split))
                if table.num_rows:
                    yield {n: _to_numpy(table[n].combine_chunks(), self._kind(n)) for n in names}

    def _checked(self, names: Sequence[str] | None) -> list[str]:
        known = [column.name for column in self.manifest.schema.columns]
        for name in names or ():
            if name not in known and name != SPLIT_COLUMN:
                raise UnknownName("column", name, known)
        return known if names is None else list(names)

    def _kind(self, name: str) -> ColumnKind:
        column = self.manifest.schema.column(name)
        return "category" if column is None else column.kind  # the split column itself


def _read_manifest(text: bytes) -> DatasetManifest:
    try:
        return msgspec.json.decode(text, type=DatasetManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{DATASET_MANIFEST_NAME} is not the manifest of a data set version") from error


def _verify(folder: Path, manifest: DatasetManifest) -> None:
    for name, entry in manifest.files.items():
        path = folder / name
        found = sha256_file(path) if path.is_file() else "of no file: it is missing"
        if found != entry.sha256:
            raise Corrupt(name, expected=entry.sha256, found=found)


def _to_numpy(array: Any, kind: ColumnKind) -> np.ndarray[Any, Any]:
    import pyarrow as pa

    if hasattr(array, "num_chunks"):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if kind == "number" or (kind in ("integer", "boolean") and array.null_count):
        return np.asarray(_as_double(array).to_numpy(zero_copy_only=False), np.float64)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _as_double(array: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    return array.cast(pa.float64(), safe=False)


_EMPTY = {"number": np.float64, "integer": np.int64, "boolean": np.bool_, "timestamp": "datetime64[us]"}


def _joined(parts: list[np.ndarray[Any, Any]], kind: ColumnKind) -> np.ndarray[Any, Any]:
    if not parts:
        return np.empty(0, _EMPTY.get(kind, np.object_))
    if kind in ("integer", "boolean") and len({part.dtype for part in parts}) > 1:
        parts = [part.astype(np.float64) for part in parts]
    return np.concatenate(parts)


def _stacked(first: Columns, second: Columns, kinds: dict[str, ColumnKind]) -> Columns:
    return {name: _joined([first[name], second[name]], kinds[name]) for name in first}
