"""Who needs which blob: the rows that keep it from being collected."""

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from modelyard.store.tables import Blob, BlobLink
from modelyard.types.package import FileEntry


def link(session: Session, tenant: str, owner: str, entries: Iterable[FileEntry], now: float) -> None:
    """`owner` needs these blobs, which must be in the store already. Doing it twice does no harm."""
    wanted = {e.sha256: e.size for e in entries}
    linked = select(BlobLink.digest).where(BlobLink.tenant == tenant, BlobLink.owner == owner)
    for digest in wanted.keys() - set(session.scalars(linked)):
        session.add(BlobLink(tenant=tenant, digest=digest, owner=owner))
    known = set(session.scalars(select(Blob.digest).where(Blob.tenant == tenant, Blob.digest.in_(wanted))))
    for digest in wanted.keys() - known:
        session.add(Blob(tenant=tenant, digest=digest, size=wanted[digest], created_at=now))
    session.flush()


def unlink(session: Session, tenant: str, owner: str) -> None:
    """`owner` needs nothing more; what nobody else needs is collected later."""
    session.execute(delete(BlobLink).where(BlobLink.tenant == tenant, BlobLink.owner == owner))


def stored_bytes(session: Session, tenant: str) -> int:
    """What a tenant's blobs take, in bytes."""
    return session.scalar(select(func.coalesce(func.sum(Blob.size), 0)).where(Blob.tenant == tenant)) or 0
