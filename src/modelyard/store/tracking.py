"""The tables of what clients track by themselves: experiments, runs without a process of ours, their metrics as
they were said, logged models and the registry of MLflow's clients.

Columns that end in `_ms` are milliseconds since the epoch, as those clients count time.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.store.tables import Base, Owned

ACTIVE, DELETED = "active", "deleted"


class Experiment(Owned, Base):
    """`number` counts from 0 in each tenant; 0 is the one that is always there."""

    __tablename__ = "experiments"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    state: Mapped[str]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)


class TrackedRun(Owned, Base):
    """Beside the row in `runs` of a run that a client drives. `status` is in MLflow's words, `state` says whether
    its owner has put it away."""

    __tablename__ = "tracked_runs"
    __table_args__ = (Index(None, "tenant", "experiment"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    experiment: Mapped[int]
    name: Mapped[str]
    user: Mapped[str]
    source: Mapped[str]
    status: Mapped[str]
    state: Mapped[str]
    start_ms: Mapped[int] = mapped_column(BigInteger)
    end_ms: Mapped[int | None] = mapped_column(BigInteger)


class Note(Owned, Base):
    """A tag or a parameter of anything that is tracked. `kind` says of what: "run.tag", "run.param"; `owner` is
    its id or number."""

    __tablename__ = "tracked_notes"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class MetricPoint(Owned, Base):
    """One value as a client said it: several at one step, before the first one, or no number (then `nan`, and
    `value` is 0). The primary key makes a resent point harmless."""

    __tablename__ = "metric_points"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    time_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    value: Mapped[float] = mapped_column(primary_key=True)
    nan: Mapped[bool] = mapped_column(primary_key=True)
    model_id: Mapped[str | None] = mapped_column(index=True)
    dataset_name: Mapped[str | None]
    dataset_digest: Mapped[str | None]


class LatestMetric(Owned, Base):
    """The newest point of each metric (by step, then time, then value): what searches compare."""

    __tablename__ = "latest_metrics"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    time_ms: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float]
    nan: Mapped[bool]


class RunDataset(Owned, Base):
    """What a client said a run has read: a description, not a data set of ours."""

    __tablename__ = "run_datasets"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    source_type: Mapped[str]
    source: Mapped[str] = mapped_column(Text)
    schema: Mapped[str | None] = mapped_column(Text)
    profile: Mapped[str | None] = mapped_column(Text)
    context: Mapped[str | None]
    tags: Mapped[dict[str, Any]] = mapped_column(JSON(none_as_null=True))


class RunModel(Owned, Base):
    """A logged model that a run has used (role "input") or made (role "output")."""

    __tablename__ = "run_models"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)


class LoggedModel(Owned, Base):
    """A model that a client logged: a folder of files, which becomes a version when it is registered."""

    __tablename__ = "logged_models"
    __table_args__ = (Index(None, "tenant", "experiment"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    experiment: Mapped[int]
    name: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    model_type: Mapped[str]
    status: Mapped[str]
    status_message: Mapped[str]
    state: Mapped[str]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)


class LoggedFile(Owned, Base):
    """A file of a logged model; its blob's link has the owner "artifacts/<model id>"."""

    __tablename__ = "logged_files"

    model_id: Mapped[str] = mapped_column(
        ForeignKey("logged_models.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class RegisteredModel(Owned, Base):
    """A name in MLflow's registry. `model` is the platform's name for it: see control/mlflow/names.py."""

    __tablename__ = "registered_models"
    __table_args__ = (UniqueConstraint("tenant", "name"), UniqueConstraint("tenant", "model"))

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    model: Mapped[str]
    description: Mapped[str] = mapped_column(Text)
    next_version: Mapped[int]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)


class RegisteredVersion(Owned, Base):
    """A version in MLflow's registry. `import_run` is the run that makes a version here of its files, `version_id`
    the version that it made."""

    __tablename__ = "registered_versions"

    registered_id: Mapped[str] = mapped_column(
        ForeignKey("registered_models.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(Text)
    location: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str | None]
    logged_id: Mapped[str | None]
    run_link: Mapped[str]
    user: Mapped[str]
    description: Mapped[str] = mapped_column(Text)
    stage: Mapped[str]
    status: Mapped[str]
    status_message: Mapped[str] = mapped_column(Text)
    import_run: Mapped[str | None]
    version_id: Mapped[str | None] = mapped_column(index=True)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)


class RegisteredAlias(Owned, Base):
    __tablename__ = "registered_aliases"

    registered_id: Mapped[str] = mapped_column(
        ForeignKey("registered_models.id", ondelete="CASCADE"), primary_key=True
    )
    alias: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
