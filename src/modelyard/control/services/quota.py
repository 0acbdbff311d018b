"""How much a tenant may still store, with what is on its way."""

import shutil
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.errors import Busy, TooLarge
from modelyard.store.imports import UploadSession
from modelyard.store.links import stored_bytes

_FREE_BYTES: Final = 256 << 20  # left on the disk for the database and for what runs write


def room(platform: Platform, tenant: str, size: int | None) -> int:
    """The most bytes that one file may have now; `size` is what the client says, where it does.

    Raises TooLarge past the limit of one upload, Busy where the tenant's storage or the disk is full.
    """
    limit = platform.config.upload_bytes
    if size is not None and size > limit:
        raise TooLarge("the file is too large", came=f"{size} bytes", allowed=f"{limit} bytes")
    with platform.database.read() as session:
        left = platform.config.storage_bytes - stored_bytes(session, tenant) - _coming(session, tenant)
        missing = _coming(session) - sum(path.stat().st_size for path in platform.home.partials.iterdir())
    if left <= 0 or (size or 0) > left:
        raise Busy("the storage of this tenant is full; delete what is not needed",
                   allowed=f"{platform.config.storage_bytes} bytes")  # fmt: skip
    free = shutil.disk_usage(platform.home.temporary).free - _FREE_BYTES - max(0, missing)
    if free <= 0 or (size or 0) > free:
        raise Busy("the disk of the platform is full")
    return min(limit, left, free)


def _coming(session: Session, tenant: str | None = None) -> int:
    """Bytes of the uploads in parts that are not finished, of a tenant or of all."""
    query = select(func.coalesce(func.sum(UploadSession.size), 0))
    if tenant is not None:
        query = query.where(UploadSession.tenant == tenant)
    return session.scalar(query) or 0
