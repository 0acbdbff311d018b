"""Uploads in parts: a file on disk that grows, and a row that says what it will be.

What is acknowledged was synced to the disk, so an upload goes on after whatever ended control or the connection.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import quota, uploads
from modelyard.control.services.names import known_id
from modelyard.control.services.partials import Hashed
from modelyard.control.services.uploads import UploadView, clean_name
from modelyard.errors import Conflict, Corrupt, InvalidInput, NotFound, TooLarge
from modelyard.store.imports import UploadSession
from modelyard.store.tables import Upload
from modelyard.trust.inspection import pickles
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry

KEPT_SECONDS: Final = 24 * 3600.0
_DIGITS: Final = frozenset("0123456789abcdef")
_MOST_OPEN: Final = 100  # of one tenant


@dataclass(frozen=True, kw_only=True)
class UploadSessionView:
    """`offset` is how many bytes are there: the next part begins with that one."""

    id: str
    filename: str
    size: int
    offset: int


class PartWriter:
    """Appends to a partial file. `offset` is what is there; only what `close` has synced counts."""

    def __init__(self, path: Path, hashed: Hashed, size: int) -> None:
        self._hashed, self._size = hashed, size
        self._file = path.open("ab")

    @property
    def offset(self) -> int:
        return self._hashed.size

    def write(self, chunk: bytes) -> None:
        """Raises TooLarge past the size that was said."""
        if self.offset + len(chunk) > self._size:
            raise TooLarge("more came than was said", allowed=f"{self._size} bytes")
        self._file.write(chunk)
        self._hashed.state.update(chunk)
        self._hashed.size += len(chunk)

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def open_session(
    platform: Platform, tenant: str, filename: str, size: int, sha256: str | None
) -> UploadSessionView:
    """Raises NotAllowedFormat for a pickle's name, TooLarge, Busy where the storage is full with what is on its
    way, InvalidInput."""
    pickles.refuse_name(filename)
    name = clean_name(filename)
    if size <= 0:
        raise InvalidInput("the size of an upload", came=size, allowed="1 byte or more")
    if sha256 is not None and (len(sha256) != 64 or not _DIGITS.issuperset(sha256)):
        raise InvalidInput("sha256", came=sha256, allowed="64 digits, 0-9 and a-f")
    quota.room(platform, tenant, size)
    now = platform.now()
    row = UploadSession(id=new_id("part"), tenant=tenant, filename=name, size=size, sha256=sha256,
                        created_at=now, updated_at=now)  # fmt: skip
    _path(platform, row.id).touch(mode=0o600)
    with platform.database.write() as session:
        mine = select(func.count()).select_from(UploadSession).where(UploadSession.tenant == tenant)
        if (session.scalar(mine) or 0) >= _MOST_OPEN:
            raise Conflict("too many uploads are on their way; finish or delete some", allowed=_MOST_OPEN)
        session.add(row)
    return _view(platform, row)


def show(platform: Platform, tenant: str, session_id: str) -> UploadSessionView:
    """Raises NotFound."""
    with platform.database.read() as session:
        return _view(platform, _get(session, tenant, session_id))


def begin_part(platform: Platform, tenant: str, session_id: str, offset: int) -> PartWriter:
    """Only inside `platform.partials.writing`. Raises NotFound, Conflict where the part does not follow what is
    there."""
    with platform.database.write() as session:
        row = _get(session, tenant, session_id)
        row.updated_at = platform.now()
    path = _path(platform, row.id)
    path.touch(mode=0o600)
    hashed = platform.partials.hashed(row.id, path)
    if hashed.size != offset:
        raise Conflict(
            "the part does not follow what is there", came=f"offset {offset}", allowed=f"offset {hashed.size}"
        )
    return PartWriter(path, hashed, row.size)


def finish(platform: Platform, tenant: str, session_id: str) -> UploadView:
    """Make the upload of it. Doing it again does no harm.

    Raises NotFound, Conflict where not all is there, Corrupt for another digest than was said, NotAllowedFormat
    for a pickle; nothing is kept after the last two.
    """
    with platform.database.read() as session:
        made = session.get(Upload, _upload_id(session_id))
        if made is not None and made.tenant == tenant:
            return uploads.view(made)
        row = _get(session, tenant, session_id)
    path = _path(platform, row.id)
    if not path.exists():
        path.touch(mode=0o600)
    hashed = platform.partials.hashed(row.id, path)
    if hashed.size != row.size:
        raise Conflict(
            "not all of the upload is there", came=f"{hashed.size} bytes", allowed=f"{row.size} bytes"
        )
    entry = FileEntry(sha256=hashed.state.hexdigest(), size=row.size)
    try:
        if row.sha256 is not None and row.sha256 != entry.sha256:
            raise Corrupt(row.filename, expected=row.sha256, found=entry.sha256)
        pickles.refuse_pickle(path, row.filename)
    except Exception:
        delete(platform, tenant, session_id)
        raise
    return _keep(platform, row, path, entry)


def delete(platform: Platform, tenant: str, session_id: str) -> None:
    """Give it up. Raises NotFound."""
    with platform.database.write() as session:
        row = _get(session, tenant, session_id)
        session.delete(row)
    _remove(platform, row.id)


def expire(platform: Platform) -> None:
    """Give up what nobody has added to for a day, and files without a row."""
    with platform.database.write() as session:
        old = UploadSession.updated_at < platform.now() - KEPT_SECONDS
        for row in session.scalars(select(UploadSession).where(old)):
            session.delete(row)
    with platform.database.read() as session:
        known = set(session.scalars(select(UploadSession.id)))
    for path in platform.home.partials.iterdir():
        if path.name not in known and platform.now() - path.stat().st_mtime > KEPT_SECONDS:
            _remove(platform, path.name)


def _keep(platform: Platform, row: UploadSession, path: Path, entry: FileEntry) -> UploadView:
    """The blob, then the rows, then the partial file is given up: it stays whole until the rows are there."""
    platform.blobs.adopt_file(path, entry)
    with platform.database.write() as session:
        there = session.get(UploadSession, row.id)
        if there is not None:
            session.delete(there)
        made = uploads.add(session, row.tenant, _upload_id(row.id), row.filename, entry, platform.now())
    _remove(platform, row.id)
    return uploads.view(made)


def _upload_id(session_id: str) -> str:
    """The upload's id follows from the session's: a finish that is asked for again finds it."""
    return f"upload_{known_id('upload session', session_id).partition('_')[2]}"


def _get(session: Session, tenant: str, session_id: str) -> UploadSession:
    row = session.get(UploadSession, known_id("upload session", session_id))
    if row is None or row.tenant != tenant:
        raise NotFound("there is no such upload session", came=session_id)
    return row


def _path(platform: Platform, session_id: str) -> Path:
    return platform.home.partials / session_id


def _remove(platform: Platform, session_id: str) -> None:
    platform.partials.forget(session_id)
    _path(platform, session_id).unlink(missing_ok=True)


def _view(platform: Platform, row: UploadSession) -> UploadSessionView:
    try:
        offset = _path(platform, row.id).stat().st_size
    except FileNotFoundError:
        offset = 0
    return UploadSessionView(id=row.id, filename=row.filename, size=row.size, offset=offset)
