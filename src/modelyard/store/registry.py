"""The tables of models, reports and deployments."""

from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.store.tables import Base, Owned


class Model(Owned, Base):
    """A name with a task. `next_number` only grows."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    task: Mapped[str]
    next_number: Mapped[int]
    created_at: Mapped[float]


class ModelVersion(Owned, Base):
    """`manifest` is types.package.Manifest. `dataset_digest` and `parent` (a version's digest) are its
    lineage and stay when what they name is deleted."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "number"), UniqueConstraint("model_id", "digest"))

    id: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(index=True)
    manifest: Mapped[dict[str, Any]]
    summary: Mapped[dict[str, Any]]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    dataset_digest: Mapped[str | None] = mapped_column(index=True)
    parent: Mapped[str | None]
    created_at: Mapped[float]


class Alias(Owned, Base):
    __tablename__ = "aliases"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    updated_at: Mapped[float]


class ReportRow(Owned, Base):
    """What an evaluation found of a version. `report` is types.report.Report without its curves; `files` the
    report's folder as {path: FileEntry}."""

    __tablename__ = "reports"

    id: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id", ondelete="CASCADE"), index=True)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    report: Mapped[dict[str, Any]]
    files: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class Deployment(Owned, Base):
    """A name that clients call. `revision` counts every change of what is wanted or served. `serving` is what its
    owner set of types.route.Serving. `asleep`: its replicas are ended until it is called."""

    __tablename__ = "deployments"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    replicas: Mapped[int]
    revision: Mapped[int]
    serving: Mapped[dict[str, Any]]
    asleep: Mapped[bool]
    created_at: Mapped[float]
    updated_at: Mapped[float]


class DeploymentVersion(Owned, Base):
    """A version behind a deployment. `weight` is the share that is wanted, `live_weight` the share that it
    has: the wanted one becomes the live one when every wanted version has a ready replica."""

    __tablename__ = "deployment_versions"

    deployment_id: Mapped[str] = mapped_column(
        ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True
    )
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"), primary_key=True, index=True)
    weight: Mapped[float]
    live_weight: Mapped[float]
