"""Send a file, or a folder as one stored zip, as a stream: neither is ever held in memory.

Large files go in parts: what is there stays there, so a broken connection or a restart of control costs one part.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from modelyard.client.folder_zip import FolderZip
from modelyard.client.transport import Request, Transport, at, error_of
from modelyard.errors import Conflict, DeadlineExceeded, InvalidInput, ModelyardError, NotFound, Unavailable

Progress = Callable[[float, float, str], None]
"""done, total and what is being done."""

IN_PARTS: Final = 64 << 20
"""Files of this many bytes and more go in parts."""
_PART = 1 << 20
_REQUEST: Final = 256 << 20  # bytes of one part: a restart of control costs at most the reading of one
_TIMEOUT = 3600.0
_PATIENCE: Final = 60.0  # seconds without a byte that was taken
_PARTING: Final = 5.0  # seconds for a request that broke off to end at control
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0


class Content(Protocol):
    """Bytes of a known number, any part of which can be read."""

    @property
    def size(self) -> int: ...

    def parts(self, start: int, length: int) -> Iterator[bytes]: ...


@dataclass(frozen=True, kw_only=True)
class FileContent:
    path: Path
    size: int

    def parts(self, start: int, length: int) -> Iterator[bytes]:
        """As many of them as the file still has."""
        with self.path.open("rb") as f:
            f.seek(start)
            while length > 0 and (part := f.read(min(_PART, length))):
                length -= len(part)
                yield part


def upload(transport: Transport, path: Path, progress: Progress) -> str:
    """The upload's id. Raises InvalidInput for a path that is missing or an empty folder."""
    if path.is_dir():
        return _send(transport, FolderZip(path), f"{path.resolve().name}.zip", progress)
    if not path.is_file():
        raise InvalidInput("there is no such file or folder", came=str(path))
    return _send(transport, FileContent(path=path, size=path.stat().st_size), path.name, progress)


def _send(transport: Transport, content: Content, name: str, progress: Progress) -> str:
    size = content.size
    if size >= IN_PARTS:
        return _Parts(transport, content, name, progress).send()
    answer = transport.send(
        Request(
            method="POST",
            path="/api/v1/uploads",
            query={"filename": name},
            content=lambda: _watched(content, 0, size, name, progress),
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            timeout=_TIMEOUT,
        )
    )
    return str(answer["id"])


class _Parts:
    """One upload on its way. It is given up after a minute in which nothing more was taken."""

    def __init__(self, transport: Transport, content: Content, name: str, progress: Progress) -> None:
        self._transport, self._content, self._name, self._progress = transport, content, name, progress
        self._size = content.size

    def send(self) -> str:
        body = {"filename": self._name, "size": self._size}
        session = str(self._transport.post("/api/v1/uploads/sessions", body)["id"])
        where = at("uploads", "sessions", session)
        try:
            self._send_all(where)
            return self._finish(where)
        except BaseException as error:
            self._give_up(where, error)
            raise

    def _send_all(self, where: str) -> None:
        offset, since, pause = 0, time.monotonic(), _FIRST_PAUSE
        while offset < self._size:
            before = offset
            try:
                offset = self._part(where, offset)
            except (Unavailable, DeadlineExceeded, Conflict) as error:
                if time.monotonic() - since > _PATIENCE:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                offset = self._there(where, error)
            if offset > before:
                since, pause = time.monotonic(), _FIRST_PAUSE

    def _finish(self, where: str) -> str:
        """The upload's id; again where the answer was lost, or the last part is still being read."""
        since = time.monotonic()
        while True:
            try:
                return str(self._transport.post(f"{where}/finish")["id"])
            except Conflict:
                if time.monotonic() - since > _PARTING:
                    raise
                time.sleep(_FIRST_PAUSE)

    def _part(self, where: str, offset: int) -> int:
        """The offset after it."""
        length = min(_REQUEST, self._size - offset)
        request = Request(
            method="PUT",
            path=where,
            query={"offset": str(offset)},
            content=lambda: _watched(self._content, offset, length, self._name, self._progress),
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(length)},
            timeout=_TIMEOUT,
        )
        response = self._transport.once(request)
        if response.status_code >= 400:
            raise error_of(response)
        return int(response.json()["offset"])

    def _there(self, where: str, error: ModelyardError) -> int:
        """How much control has. Raises the error where it does not come back."""
        try:
            return int(self._transport.get(where)["offset"])
        except Unavailable:
            raise error from None

    def _give_up(self, where: str, error: BaseException) -> None:
        """Control forgets an upload that nobody goes on with after a day; sooner where it can be told."""
        if isinstance(error, Unavailable | NotFound):
            return
        deadline = time.monotonic() + _PARTING
        while time.monotonic() < deadline:
            try:
                self._transport.send(Request(method="DELETE", path=where))
                return
            except Conflict:  # the part that broke off is still being read
                time.sleep(_FIRST_PAUSE)
            except ModelyardError:
                return


def _watched(content: Content, start: int, length: int, name: str, progress: Progress) -> Iterator[bytes]:
    done = start
    for part in content.parts(start, length):
        done += len(part)
        yield part
        progress(done, content.size, f"uploading {name}")


def saved(transport: Transport, path: str, target: Path, progress: Progress) -> Any:
    """Save an answer's body, as it comes, under another name until it is whole. How many bytes it has."""
    partial = target.with_name(f".{target.name}.part")
    try:
        with partial.open("wb") as file:
            done = 0
            for part in transport.stream(path):
                file.write(part)
                done += len(part)
                progress(done, done, f"saving {target.name}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return done
