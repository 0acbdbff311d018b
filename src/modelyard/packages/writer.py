"""Writing a package: files first, model.json as the last act."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from modelyard.errors import InvalidInput
from modelyard.files import sha256_file, sync_folder, write_atomic
from modelyard.packages.paths import regular_files
from modelyard.types.package import MANIFEST_NAME, FileEntry, Manifest, encode_manifest


def write(folder: Path, manifest: Manifest, *, known: Mapping[str, FileEntry] | None = None) -> Manifest:
    """Make `folder` a package: fill `files` from what lies in it, make that durable, write model.json last.

    A folder without model.json is no package, so a crash at any point leaves either none or a whole one. Files in
    `known` were hashed and made durable before, and are not read again; whoever takes the package over compares.

    Returns:
        The manifest as it was written; its digest names the version.

    Raises:
        InvalidInput: `manifest` refers to a file that is not there, or holds NaN or infinity.
        Corrupt: a link or a name that a package may not hold.
    """
    _check_finite(msgspec.to_builtins(manifest), "manifest")
    present, known = regular_files(folder), known or {}
    told = {n: e for n, e in known.items() if n in present and present[n].st_size == e.size}
    entries = {name: told.get(name) or _entry(folder / name) for name in sorted(present)}
    for folder_name in sorted({(folder / name).parent for name in entries} | {folder}):
        sync_folder(folder_name)
    # Through JSON and back, so that the caller holds what a reader gets (0 becomes 0.0 in a float field).
    filled = msgspec.structs.replace(manifest, files=entries)
    filled = msgspec.json.decode(encode_manifest(filled), type=Manifest)
    _check_references(filled)
    write_atomic(folder / MANIFEST_NAME, encode_manifest(filled))
    return filled


def _entry(path: Path) -> FileEntry:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    return FileEntry(sha256=sha256_file(path), size=size)


def _check_references(manifest: Manifest) -> None:
    named = {f"format {name}": file for name, file in manifest.formats.items()}
    if manifest.golden is not None:
        named["golden"] = manifest.golden.file
    if manifest.net is not None and manifest.net.weights is not None:
        named["weights"] = manifest.net.weights
    for what, file in named.items():
        if file not in manifest.files:
            raise InvalidInput(
                f"the package's {what} is not in its folder", came=file, allowed=manifest.files
            )


def _check_finite(value: Any, where: str) -> None:
    """msgspec writes NaN as null, which would come back as something else."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"{where} is not a finite number", came=value)
    if isinstance(value, dict):
        for key, item in value.items():
            _check_finite(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_finite(item, where)
