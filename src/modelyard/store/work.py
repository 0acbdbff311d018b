"""The tables of data sets and runs."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.store.tables import Base, Owned


class Dataset(Owned, Base):
    """`next_number` only grows: the number of a deleted version is not given again."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    next_number: Mapped[int]
    created_at: Mapped[float]


class DatasetVersion(Owned, Base):
    """`manifest` is types.dataset.DatasetManifest; `beside` the files that it does not name
    (dataset.json itself, profiles) as {path: FileEntry}."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "number"), UniqueConstraint("dataset_id", "digest"))

    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(index=True)
    manifest: Mapped[dict[str, Any]]
    beside: Mapped[dict[str, Any]]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    created_at: Mapped[float]


class Run(Owned, Base):
    """`attempt` counts from 1 and is 0 before the first; `token_hash` is of the present attempt alone.

    `failures` counts the attempts that ended by themselves without an outcome. `publish` says what the
    outputs become: {"dataset": name} or {"model": name} or {"version": id}; `outputs` what they became.
    """

    __tablename__ = "runs"
    __table_args__ = (Index(None, "tenant", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    params: Mapped[dict[str, Any]]
    publish: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(index=True)
    attempt: Mapped[int]
    failures: Mapped[int]
    token_hash: Mapped[str | None]
    cancel_requested: Mapped[bool]
    done: Mapped[float | None]
    total: Mapped[float | None]
    text: Mapped[str]
    summary: Mapped[dict[str, Any]]
    outputs: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]


class RunInput(Owned, Base):
    """What a run works on, at inputs/NAME/. `reference` is what the user wrote, `digest` what it meant then;
    `version_id` is a data set version, a model version or (kind "upload") an upload."""

    __tablename__ = "run_inputs"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    version_id: Mapped[str] = mapped_column(index=True)
    reference: Mapped[str]
    digest: Mapped[str]


class RunMetric(Owned, Base):
    """One point of a curve. The primary key makes a resent point harmless."""

    __tablename__ = "run_metrics"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[float]
    time: Mapped[float]


class RunArtifact(Owned, Base):
    """A file that a run logged, by its path in the run ("plots/loss.png"); its bytes are a blob that the run owns
    (a BlobLink whose owner is "artifacts/<run id>")."""

    __tablename__ = "run_artifacts"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]
