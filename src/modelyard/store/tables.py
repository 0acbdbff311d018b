"""The base of all tables, and the tables of tenants, keys, uploads, blobs and idempotency.

Every row belongs to a tenant. Times are seconds since the epoch. Only types and statements that SQLite and
PostgreSQL share are used; ids are made by us (types.ids), so no row waits for the database to name it.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from modelyard.types.route import DEFAULT_TENANT as DEFAULT_TENANT

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Named constraints, so that later migrations can change them on any database."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        float: Double(),
        str: String(),
    }


class Owned:
    """A row of a tenant."""

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[float]


class Key(Owned, Base):
    """An API key: its HMAC, never the key. `last4` is what lists show of it; `budget`: tokens that it may use in a
    day, None: as many as it likes."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    last4: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    budget: Mapped[int | None] = mapped_column(BigInteger)


class Upload(Owned, Base):
    """A file that came over HTTP and stands in the blobs until a data set is made of it or it is
    collected."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class Blob(Owned, Base):
    """A blob that a tenant has: what its storage is counted by."""

    __tablename__ = "blobs"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class BlobLink(Owned, Base):
    """`owner` (the id of a version, report, upload or run) needs the blob. What no row names is collected."""

    __tablename__ = "blob_links"
    __table_args__ = (Index(None, "owner"),)

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True, index=True)
    owner: Mapped[str] = mapped_column(primary_key=True)


class Idempotency(Owned, Base):
    """What was answered to an Idempotency-Key: the id of the run or deployment that the first request
    made."""

    __tablename__ = "idempotency"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    made: Mapped[str]
    created_at: Mapped[float]
