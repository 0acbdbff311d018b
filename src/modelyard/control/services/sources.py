"""The files that a run works on as they came: uploads, and files that another run logged. They lie in
inputs/sources/ by their names."""

from typing import Final, Protocol

from sqlalchemy.orm import Session

from modelyard.control.services.uploads import entry_of, get_upload
from modelyard.errors import NotFound
from modelyard.store.tables import Blob
from modelyard.types.package import FileEntry

FILES: Final = ("upload", "artifact")
"""Kinds of inputs that are files. Of an artifact, `version_id` is the id of who has it, `digest` says which
bytes."""


class Source(Protocol):
    """A plan's Input, or a RunInput."""

    @property
    def kind(self) -> str: ...
    @property
    def version_id(self) -> str: ...
    @property
    def digest(self) -> str: ...


def entry_of_source(session: Session, tenant: str, source: Source) -> FileEntry:
    """Raises NotFound for a file that is gone, or is another tenant's."""
    if source.kind == "upload":
        return entry_of(get_upload(session, tenant, source.version_id))
    blob = session.get(Blob, (tenant, source.digest))
    if blob is None:
        raise NotFound("the artifact is gone")
    return FileEntry(sha256=blob.digest, size=blob.size)
