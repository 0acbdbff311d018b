"""Which format a file or a folder is, and what its format's file finds in it."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from modelyard.errors import InvalidInput, NotAllowedFormat, TooLarge, UnknownName
from modelyard.trust.inspection import (
    archives,
    ctranslate2,
    gguf,
    huggingface,
    keras,
    onnx,
    openvino,
    pickles,
    pt2,
    safetensors,
    savedmodel,
    skops,
    tars,
    zips,
)
from modelyard.trust.inspection.bounded import head_of
from modelyard.trust.inspection.contract import MAX_BYTES, MAX_FILES, Inspection

BUNDLE_NAME: Final = "yard-bundle.json"
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_SUFFIXES: Final = {".onnx": "onnx", ".keras": "keras", ".gguf": "gguf", ".skops": "skops", ".pt2": "pt2",
                    ".xml": "openvino", ".safetensors": "safetensors"}  # fmt: skip
FORMATS: Final = (*dict.fromkeys(_SUFFIXES.values()), "savedmodel", ctranslate2.FORMAT)
ALLOWED: Final = (
    "ONNX, Keras (.keras), SavedModel, safetensors with config.json, GGUF, skops, PyTorch's .pt2, "
    "OpenVINO, a folder of CTranslate2's Whisper, a zip or tar.gz of one, a bundle of yard models export"
)

_Inspect = Callable[[Path, str], Inspection]


def inspect(
    path: Path, name: str | None = None, *, unpack: Path | None = None, wanted: str | None = None
) -> Inspection:
    """Find out what model lies at `path`, a file or a folder.

    Args:
        name: what its owner calls it, for messages.
        unpack: an empty folder for what is in an archive; without it, an archive's directory and the beginning
            of its members are looked at, and the answer's format is "archive".
        wanted: which format to look for in a folder that holds several.

    Raises:
        NotAllowedFormat: a pickle, code, or no format that is known.
        Corrupt: bytes that are not what their format says. TooLarge: past a limit, or a bomb.
    """
    if wanted is not None and wanted not in FORMATS:
        raise UnknownName("format", wanted, FORMATS)
    shown = name or path.name
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise NotAllowedFormat(f"{shown!r} is no plain file or folder")
    if path.is_dir():
        return _inspect_folder(path, shown, wanted)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise TooLarge(f"{shown!r}", came=f"{size:,} bytes", allowed=f"{MAX_BYTES:,} bytes")
    found = _inspect_file(path, shown, unpack, wanted)
    return found if found.bytes else msgspec.structs.replace(found, bytes=size)


def _inspect_file(path: Path, name: str, unpack: Path | None, wanted: str | None) -> Inspection:
    pickles.refuse_name(name)
    head = head_of(path, pickles.HEAD_BYTES)
    pickles.refuse_head(head, path.stat().st_size, name)
    if head.startswith(b"PK\x03\x04"):
        return _inspect_zip(path, name, unpack, wanted)
    if head.startswith(gguf.MAGIC):
        return gguf.inspect(path, name)
    if tars.is_tar(path):
        return _inspect_tar(path, name, unpack, wanted)
    return _reader(path, name, head)(path, name)


def _reader(path: Path, name: str, head: bytes) -> _Inspect:
    """By its first bytes; a name helps where a format has no mark of its own."""
    lower = name.lower()
    if head.startswith(_HDF5):
        raise _hdf5(name)
    if lower.endswith(".safetensors") or safetensors.is_safetensors(head, path.stat().st_size):
        return safetensors.inspect
    if openvino.is_xml(head):
        return openvino.inspect
    if ctranslate2.is_whisper(path):
        raise NotAllowedFormat(
            f"{name!r} alone is no Whisper model", allowed="the folder that it lies in, or a zip of that"
        )
    if lower.endswith(".onnx") or onnx.is_onnx(path, name):
        return onnx.inspect
    raise NotAllowedFormat(f"{name!r} is no model of a format that is known", allowed=ALLOWED)


def _hdf5(name: str) -> NotAllowedFormat:
    return NotAllowedFormat(
        f"{name!r} is HDF5, in which Keras keeps Python code",
        allowed=".keras: keras.models.load_model(path).save('model.keras'), where you trust the file",
    )


def _inspect_zip(path: Path, name: str, unpack: Path | None, wanted: str | None) -> Inspection:
    with zips.open_zip(path, name) as archive:
        members = zips.zip_members(archive)
        names = {i.filename for i in members}
    if not names:
        raise InvalidInput(f"{name!r} is an empty zip")
    for known, reader in (
        (keras.is_keras, keras.inspect),
        (skops.is_skops, skops.inspect),
        (pt2.is_pt2, pt2.inspect),
    ):
        if known(names):
            return reader(path, name)
    if BUNDLE_NAME in names and unpack is None:
        return Inspection(format="bundle", files=len(names), why=f"it holds {BUNDLE_NAME}")
    if unpack is None:
        return _look_into_zip(path, name)
    zips.unpack_zip(path, name, unpack)
    return _inspect_folder(unpack, name, wanted)


def _look_into_zip(path: Path, name: str) -> Inspection:
    with zips.open_zip(path, name) as archive:
        for info in zips.zip_members(archive):
            pickles.refuse_name(info.filename)
            head = zips.read_head(archive, info, name)
            pickles.refuse_head(head, info.file_size, info.filename)
        return Inspection(format="archive", files=len(archive.infolist()), why="a zip")


def _inspect_tar(path: Path, name: str, unpack: Path | None, wanted: str | None) -> Inspection:
    count = 0
    for member in tars.tar_members(path, name, unpack):
        pickles.refuse_name(member.name)
        pickles.refuse_head(member.head, member.size, member.name)
        count += 1
    if count == 0:
        raise InvalidInput(f"{name!r} is an empty archive")
    if unpack is None:
        return Inspection(format="archive", files=count, why="a tar")
    return _inspect_folder(unpack, name, wanted)


def _inspect_folder(folder: Path, name: str, wanted: str | None) -> Inspection:
    files = _files(folder, name)
    for file in files:
        pickles.refuse_name(file)
        pickles.refuse_pickle(folder / file, file)
    if BUNDLE_NAME in files:
        return Inspection(
            format="bundle", files=len(files), bytes=sum(files.values()), why=f"it holds {BUNDLE_NAME}"
        )
    found = _model_in(folder, name, files, wanted)
    base = folder / found.entry
    kept = [base / k for k in found.keep] or [base]
    size = sum((k.stat().st_size for k in kept if k.is_file()), 0)
    return msgspec.structs.replace(found, bytes=size, files=len(kept))


def _model_in(folder: Path, name: str, files: dict[str, int], wanted: str | None) -> Inspection:
    if wanted in (None, "savedmodel"):
        for file in _named(files, "saved_model.pb"):
            return _below(file, savedmodel.inspect((folder / file).parent, name))
    if wanted in (None, ctranslate2.FORMAT):
        for file in _named(files, ctranslate2.ENTRY):
            if ctranslate2.is_whisper(folder / file):
                inside = _inside(files, file.rpartition("/")[0])
                return _below(file, ctranslate2.inspect((folder / file).parent, name, inside))
    if wanted in (None, "safetensors"):
        for file in _named(files, "config.json"):
            place = file.rpartition("/")[0]
            inside = _inside(files, place)
            if any(f.endswith(".safetensors") for f in inside):
                return _below(file, huggingface.inspect(folder / place, name, inside))
    return _single(folder, name, files, wanted)


def _inside(files: dict[str, int], place: str) -> list[str]:
    """Names of what lies below a folder, from there."""
    below = f"{place}/" if place else ""
    return [f.removeprefix(below) for f in files if f.startswith(below)]


def _below(file: str, found: Inspection) -> Inspection:
    return msgspec.structs.replace(found, entry=file.rpartition("/")[0])


def _named(files: dict[str, int], name: str) -> list[str]:
    """Files of that name, the outermost first."""
    return sorted((f for f in files if f.rpartition("/")[2] == name), key=lambda f: (f.count("/"), f))[:1]


def _single(folder: Path, name: str, files: dict[str, int], wanted: str | None) -> Inspection:
    """The one model file that a folder holds."""
    kinds = {
        f: kind for f in files if (kind := _SUFFIXES.get(Path(f).suffix.lower())) and kind == (wanted or kind)
    }
    if not kinds:
        raise _nothing(name, files, wanted)
    if len(kinds) > 1:
        raise InvalidInput(
            f"{name!r} holds more than one model", came=sorted(kinds)[:10], allowed="one; or name its format"
        )
    (file,) = kinds
    found = _inspect_file(folder / file, file, None, wanted)
    place, _, own = file.rpartition("/")
    if found.keep:
        return msgspec.structs.replace(found, entry=place)
    return msgspec.structs.replace(found, entry=place, keep=(own,))


def _nothing(name: str, files: dict[str, int], wanted: str | None) -> NotAllowedFormat:
    if "config.json" in files:
        return NotAllowedFormat(
            f"{name!r} has a config.json and no weights in safetensors",
            came=sorted(files)[:10],
            allowed="model.save_pretrained(folder), which writes safetensors",
        )
    hdf5 = next((f for f in files if f.lower().endswith((".h5", ".hdf5"))), None)
    if hdf5 is not None:
        return _hdf5(hdf5)
    kind = "model" if wanted is None else f"model of the format {wanted}"
    return NotAllowedFormat(f"{name!r} holds no {kind}", came=sorted(files)[:10], allowed=ALLOWED)


def _files(folder: Path, name: str) -> dict[str, int]:
    """Every plain file below, with its size. Raises NotAllowedFormat for links and devices."""
    names, found = archives.Names(name), {}
    for path, status in _walk(folder):
        file = path.relative_to(folder).as_posix()
        if archives.is_clutter(file):
            continue
        names.add(file, folder=stat.S_ISDIR(status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise NotAllowedFormat(
                f"{file!r} in {name!r} is a link or a device", allowed="plain files and folders"
            )
        found[file] = status.st_size
        if len(found) > MAX_FILES:
            raise TooLarge(f"{name!r} holds too many files", allowed=MAX_FILES)
    if not found:
        raise InvalidInput(f"{name!r} is empty")
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                path, status = Path(entry.path), entry.stat(follow_symlinks=False)
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(path)
