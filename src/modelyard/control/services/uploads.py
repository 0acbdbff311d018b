"""Files that come over HTTP and wait to become a data set."""

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import quota
from modelyard.control.services.names import known_id
from modelyard.errors import Corrupt, InvalidInput, NotFound
from modelyard.store.blobs import BlobWriter
from modelyard.store.links import link, unlink
from modelyard.store.tables import Upload
from modelyard.store.work import Run, RunInput
from modelyard.trust.inspection import pickles
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry
from modelyard.types.run import END_STATES

KEPT_SECONDS: Final = 24 * 3600.0
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._ +=@()-]")


@dataclass(frozen=True, kw_only=True)
class UploadView:
    id: str
    filename: str
    sha256: str
    size: int


def begin(platform: Platform, tenant: str, filename: str, size: int | None) -> BlobWriter:
    """A writer for the upload's bytes; `size` is what the client says, where it does.

    Raises NotAllowedFormat for pickles, TooLarge past the limit of one upload, Busy where the tenant's
    storage or the disk is full.
    """
    pickles.refuse_name(filename)
    clean_name(filename)
    return platform.blobs.writer(quota.room(platform, tenant, size))


def finish(
    platform: Platform, tenant: str, filename: str, writer: BlobWriter, sha256: str | None = None
) -> UploadView:
    """Keep what was written. Raises InvalidInput where nothing was, NotAllowedFormat for a pickle, and Corrupt for
    another digest than the client says."""
    if writer.size == 0:
        raise InvalidInput("the upload is empty", came="0 bytes")
    if sha256 is not None and writer.sha256 != sha256:
        raise Corrupt(clean_name(filename), expected=sha256, found=writer.sha256)
    pickles.refuse_head(writer.head, writer.size, filename)  # by whatever name
    entry = writer.commit()
    with platform.database.write() as session:
        row = add(session, tenant, new_id("upload"), clean_name(filename), entry, platform.now())
    return view(row)


def add(session: Session, tenant: str, upload_id: str, filename: str, entry: FileEntry, now: float) -> Upload:
    """The row of a file whose bytes are a blob already."""
    row = Upload(
        id=upload_id, tenant=tenant, filename=filename, sha256=entry.sha256, size=entry.size, created_at=now
    )
    session.add(row)
    session.flush()
    link(session, tenant, row.id, [entry], now)
    return row


def view(row: Upload) -> UploadView:
    return UploadView(id=row.id, filename=row.filename, sha256=row.sha256, size=row.size)


def get_upload(session: Session, tenant: str, upload_id: str) -> Upload:
    """Raises NotFound."""
    row = session.get(Upload, known_id("upload", upload_id))
    if row is None or row.tenant != tenant:
        raise NotFound("there is no such upload", came=upload_id)
    return row


def entry_of(upload: Upload) -> FileEntry:
    return FileEntry(sha256=upload.sha256, size=upload.size)


def clean_name(filename: str) -> str:
    """A file name that is only that: no folder, nothing hidden, nothing a shell or a terminal minds.

    Raises InvalidInput where nothing is left.
    """
    last = re.split(r"[/\\]", filename)[-1]
    name = _UNSAFE.sub("_", last).lstrip(". ").rstrip()[-150:]
    if not name:
        raise InvalidInput("the upload needs a file name", came=filename, allowed="as data.csv")
    return name


def expire(platform: Platform) -> None:
    """Forget uploads of yesterday that no run still waits to read; their bytes are collected later."""
    unended = exists().where(
        RunInput.version_id == Upload.id, RunInput.run_id == Run.id, Run.state.not_in(END_STATES)
    )
    old = Upload.created_at < platform.now() - KEPT_SECONDS
    with platform.database.write() as session:
        for row in session.scalars(select(Upload).where(old, ~unended)):
            unlink(session, row.tenant, row.id)
            session.delete(row)
