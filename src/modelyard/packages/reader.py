"""Reading a package and refusing one whose bytes are not those that were written."""

import os
import stat
from pathlib import Path

import msgspec

from modelyard.errors import Corrupt, InvalidInput, NotFound
from modelyard.files import sha256_bytes, sha256_file
from modelyard.packages.paths import MAX_FILES, check_name, regular_files
from modelyard.types.package import MANIFEST_NAME, FileEntry, Manifest, encode_manifest, manifest_digest

FORMAT_VERSIONS = (1,)
MAX_MANIFEST_BYTES = 32 << 20


class _Version(msgspec.Struct):
    format_version: int


def read(folder: Path, verify: bool = True, *, expected_digest: str | None = None) -> Manifest:
    """The manifest of the package in `folder`.

    Names, presence and sizes of its files are always checked; `verify` also hashes each of them (streaming,
    in bounded memory). `expected_digest` is the version's hex sha256, which covers model.json itself.

    Raises:
        NotFound: there is no model.json.
        Corrupt: naming the file that is missing, not listed, a link, of another size or of another digest.
        InvalidInput: model.json is not what its format says, or is of an unknown format version.
    """
    data = _manifest_bytes(folder)
    found = sha256_bytes(data)
    if expected_digest is not None and found != expected_digest:
        raise Corrupt(MANIFEST_NAME, expected=expected_digest, found=found)
    manifest = _decode(data)
    _check_files(folder, manifest)
    if verify:
        for name, entry in sorted(manifest.files.items()):
            _check_digest(folder / name, name, entry)
    return manifest


def digest(package: Path | Manifest) -> str:
    """The version's hex sha256, of a manifest or of the model.json in a folder."""
    return (
        manifest_digest(package) if isinstance(package, Manifest) else sha256_bytes(_manifest_bytes(package))
    )


def _manifest_bytes(folder: Path) -> bytes:
    try:
        fd = os.open(folder / MANIFEST_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"the package has no {MANIFEST_NAME}") from None
    except OSError:
        raise Corrupt.because(MANIFEST_NAME, "is not a plain file", allowed="plain files") from None
    with os.fdopen(fd, "rb") as f:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Corrupt.because(MANIFEST_NAME, "is not a plain file", allowed="plain files")
        if status.st_size > MAX_MANIFEST_BYTES:
            raise Corrupt.because(MANIFEST_NAME, "is too large", allowed=f"{MAX_MANIFEST_BYTES} bytes")
        return f.read(status.st_size)


def _decode(data: bytes) -> Manifest:
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version not in FORMAT_VERSIONS:
            raise InvalidInput("unknown package format version", came=version, allowed=FORMAT_VERSIONS)
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{MANIFEST_NAME} is not a package's manifest: {error}") from None
    if encode_manifest(manifest) != data:
        # Two spellings of one content would be two digests of one version, and unknown keys would get lost.
        raise InvalidInput(
            f"{MANIFEST_NAME} is not canonical", allowed="sorted keys, no spaces, known keys only"
        )
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    if len(manifest.files) > MAX_FILES:
        raise Corrupt.because(MANIFEST_NAME, "lists too many files", allowed=MAX_FILES)
    for name in manifest.files:
        check_name(name)
    for name in _referred(manifest):
        if name not in manifest.files:
            raise Corrupt.because(name, f"is referred to and not listed in {MANIFEST_NAME}")
    present = regular_files(folder)
    for name in sorted(present.keys() - manifest.files.keys()):
        raise Corrupt.because(name, f"is not listed in {MANIFEST_NAME}")
    for name, entry in sorted(manifest.files.items()):
        if name not in present:
            raise Corrupt.because(name, "is missing")
        if present[name].st_size != entry.size:
            raise Corrupt.because(
                name, "has another size", came=f"{present[name].st_size} bytes", allowed=f"{entry.size} bytes"
            )


def _referred(manifest: Manifest) -> list[str]:
    names = list(manifest.formats.values())
    if manifest.golden is not None:
        names.append(manifest.golden.file)
    if manifest.net is not None and manifest.net.weights is not None:
        names.append(manifest.net.weights)
    return names


def _check_digest(path: Path, name: str, entry: FileEntry) -> None:
    found = sha256_file(path)
    if found != entry.sha256:
        raise Corrupt(name, expected=entry.sha256, found=found)
