"""The tables of uploads that come in parts, and of what stands beside a model's version."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.store.tables import Base, Owned


class UploadSession(Owned, Base):
    """A file that comes in parts. How much of it is there is its partial file's size (`Home.partials`); `sha256`
    is what the client says it will be, or None."""

    __tablename__ = "upload_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    created_at: Mapped[float]
    updated_at: Mapped[float]


class VersionDocument(Owned, Base):
    """What is written of a version and is no part of its digest: `card`, where someone edited it, and `history`,
    what a bundle said of where the version comes from (types.bundle.History)."""

    __tablename__ = "version_documents"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("model_versions.id", ondelete="CASCADE"), primary_key=True
    )
    card: Mapped[str | None]
    history: Mapped[dict[str, Any] | None]
    updated_at: Mapped[float]
