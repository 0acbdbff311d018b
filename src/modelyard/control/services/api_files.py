"""Files that callers keep through the OpenAI API, and those that their batches make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import quota, training_lines
from modelyard.control.services.uploads import clean_name
from modelyard.errors import InvalidInput, TooLarge
from modelyard.runs import batch_lines
from modelyard.store.blobs import BlobWriter
from modelyard.store.links import link, unlink
from modelyard.store.openai import ApiFile
from modelyard.trust.inspection import pickles
from modelyard.types.ids import new_id
from modelyard.types.package import FileEntry

BATCH, FINE_TUNE, BATCH_OUTPUT, RESULTS = "batch", "fine-tune", "batch_output", "fine-tune-results"
PURPOSES: Final = ("assistants", BATCH, FINE_TUNE, "vision", "user_data", "evals")
"""What a caller may keep a file for."""
_CHECKS: Final[dict[str, Callable[[BinaryIO], int]]] = {
    BATCH: batch_lines.check_file,
    FINE_TUNE: training_lines.check_file,
}
_LARGEST: Final = {BATCH: batch_lines.FILE_BYTES}


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """`expires_in` seconds, or None for good."""

    filename: str
    purpose: str
    expires_in: float | None = None


def begin(platform: Platform, tenant: str, filename: str, size: int | None) -> BlobWriter:
    """Raises as `uploads.begin`."""
    pickles.refuse_name(filename)
    clean_name(filename)
    return platform.blobs.writer(quota.room(platform, tenant, size))


def finish(platform: Platform, tenant: str, new: NewFile, writer: BlobWriter) -> ApiFile:
    """Keep what was written. Raises BadLine for a line that its purpose cannot use, InvalidInput where nothing was
    written, TooLarge, NotAllowedFormat for a pickle."""
    if writer.size == 0:
        raise InvalidInput("the file is empty", came="0 bytes")
    largest = _LARGEST.get(new.purpose)
    if largest is not None and writer.size > largest:
        raise TooLarge(f"the file is too large for the purpose {new.purpose}", came=f"{writer.size} bytes",
                       allowed=f"{largest} bytes")  # fmt: skip
    pickles.refuse_head(writer.head, writer.size, new.filename)
    lines = None
    if new.purpose in _CHECKS:
        with writer.reader() as file:
            lines = _CHECKS[new.purpose](file)
    entry = writer.commit()
    with platform.database.write() as session:
        return add(session, tenant, new, entry, lines, platform.now())


def add(
    session: Session, tenant: str, new: NewFile, entry: FileEntry, lines: int | None, now: float
) -> ApiFile:
    """The row of a file whose bytes are a blob already."""
    row = ApiFile(
        id=new_id("file").replace("_", "-"),
        tenant=tenant,
        filename=clean_name(new.filename),
        purpose=new.purpose,
        sha256=entry.sha256,
        size=entry.size,
        lines=lines,
        created_at=now,
        expires_at=None if new.expires_in is None else now + new.expires_in,
    )
    session.add(row)
    session.flush()
    link(session, tenant, row.id, [entry], now)
    return row


def find(session: Session, tenant: str, file_id: str, now: float) -> ApiFile | None:
    """None for what is not there, is another tenant's, or has expired."""
    row = session.get(ApiFile, file_id)
    if row is None or row.tenant != tenant or (row.expires_at is not None and row.expires_at <= now):
        return None
    return row


def delete(session: Session, row: ApiFile) -> None:
    """What a run works on stays with the run."""
    unlink(session, row.tenant, row.id)
    session.delete(row)


def expire(platform: Platform) -> None:
    """Forget what was to be kept until now."""
    with platform.database.write() as session:
        old = select(ApiFile).where(ApiFile.expires_at.is_not(None), ApiFile.expires_at <= platform.now())
        for row in session.scalars(old):
            delete(session, row)
