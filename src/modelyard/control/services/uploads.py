"""Files that come over HTTP and wait to become a data set."""

import re
import shutil
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.names import known_id
from modelyard.errors import Busy, InvalidInput, NotAllowedFormat, NotFound, TooLarge
from modelyard.store.blobs import BlobWriter
from modelyard.store.links import link, stored_bytes, unlink
from modelyard.store.tables import Upload
from modelyard.store.work import Run, RunInput
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry
from modelyard.types.run import END_STATES

KEPT_SECONDS: Final = 24 * 3600.0
_FREE_BYTES: Final = 256 << 20  # left on the disk for the database and for what runs write
_PICKLES: Final = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".dill", ".p")
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
    if filename.lower().endswith(_PICKLES):
        raise NotAllowedFormat("pickles can run code and are not read", came=filename)
    clean_name(filename)
    limit = platform.config.upload_bytes
    if size is not None and size > limit:
        raise TooLarge("the upload is too large", came=f"{size} bytes", allowed=f"{limit} bytes")
    return platform.blobs.writer(min(limit, _left(platform, tenant, size or 0)))


def finish(platform: Platform, tenant: str, filename: str, writer: BlobWriter) -> UploadView:
    """Keep what was written. Raises InvalidInput where nothing was, and NotAllowedFormat for a pickle."""
    if writer.size == 0:
        raise InvalidInput("the upload is empty", came="0 bytes")
    entry = writer.commit()
    if _is_pickle(platform, entry):  # by whatever name; the blob has no link and is collected
        raise NotAllowedFormat("pickles can run code and are not read", came=filename)
    now = platform.now()
    row = Upload(id=new_id("upload"), tenant=tenant, filename=clean_name(filename), sha256=entry.sha256,
                 size=entry.size, created_at=now)  # fmt: skip
    with platform.database.write() as session:
        session.add(row)
        session.flush()
        link(session, tenant, row.id, [entry], now)
    return UploadView(id=row.id, filename=row.filename, sha256=row.sha256, size=row.size)


def _is_pickle(platform: Platform, entry: FileEntry) -> bool:
    """Whether the bytes begin with PROTO of pickle's protocols 2 to 5 (PEP 3154) and end with STOP."""
    with platform.blobs.path(entry.sha256).open("rb") as f:
        head = f.read(2)
        f.seek(-1, 2)
        return head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05") and f.read() == b"."


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


def _left(platform: Platform, tenant: str, size: int) -> int:
    """Bytes that the tenant may still store and the disk still holds."""
    with platform.database.read() as session:
        quota = platform.config.storage_bytes - stored_bytes(session, tenant)
    if quota <= 0 or size > quota:
        raise Busy("the storage of this tenant is full; delete versions that are not needed",
                   allowed=f"{platform.config.storage_bytes} bytes")  # fmt: skip
    free = shutil.disk_usage(platform.home.temporary).free - _FREE_BYTES
    if free <= 0 or size > free:
        raise Busy("the disk of the platform is full")
    return min(quota, free)
