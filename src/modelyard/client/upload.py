"""Send a file, or a folder as one stored zip, as a stream: neither is ever held in memory."""

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from modelyard.client.transport import Request, Transport
from modelyard.errors import InvalidInput

Progress = Callable[[float, float, str], None]
"""done, total and what is being done."""

_PART = 1 << 20
_TIMEOUT = 3600.0


def upload(transport: Transport, path: Path, progress: Progress) -> str:
    """The upload's id. Raises InvalidInput for a path that is missing or an empty folder."""
    if path.is_dir():
        with tempfile.NamedTemporaryFile(suffix=".zip") as archive:
            _pack(path, archive)
            return _send(transport, Path(archive.name), f"{path.resolve().name}.zip", progress)
    if not path.is_file():
        raise InvalidInput("there is no such file or folder", came=str(path))
    return _send(transport, path, path.name, progress)


def _send(transport: Transport, path: Path, name: str, progress: Progress) -> str:
    size = path.stat().st_size
    answer = transport.send(
        Request(
            method="POST",
            path="/api/v1/uploads",
            query={"filename": name},
            content=lambda: _parts(path, size, name, progress),
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            timeout=_TIMEOUT,
        )
    )
    return str(answer["id"])


def _parts(path: Path, size: int, name: str, progress: Progress) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as f:
        while part := f.read(_PART):
            done += len(part)
            yield part
            progress(done, size, f"uploading {name}")


def _pack(folder: Path, target: IO[bytes]) -> None:
    """Stored, not compressed: pictures do not shrink, and time is spent once."""
    files = sorted(_files(folder))
    if not files:
        raise InvalidInput("there is no file in the folder", came=str(folder))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder).as_posix())
    target.flush()


def _files(folder: Path) -> Iterator[Path]:
    """Regular files; what is hidden (.DS_Store, .git) is left out, and links are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path
