"""The tables of what callers keep through the OpenAI API: files, batches, fine-tuning jobs.

`notes` is what that API calls metadata: at most 16 pairs of texts.
"""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.store.tables import Base, Owned


class ApiFile(Owned, Base):
    """A file that a caller keeps, or that a batch made; its bytes are a blob that the file owns. `lines` counts the
    lines of JSON of a file that was checked for them."""

    __tablename__ = "api_files"
    __table_args__ = (Index(None, "tenant", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    lines: Mapped[int | None]
    created_at: Mapped[float]
    expires_at: Mapped[float | None] = mapped_column(index=True)


class Batch(Owned, Base):
    """Beside the row in `runs` that does the work: all that changes is there. `key_id` is the key that it was made
    with, whose budget it uses and whose usage it is. `input_file` is an id of a file that may be gone; the run
    keeps its bytes. `total` counts the input's lines. `output_seconds`: how long the files that it makes are kept,
    or None for good."""

    __tablename__ = "batches"
    __table_args__ = (Index(None, "tenant", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    key_id: Mapped[str]
    input_file: Mapped[str]
    endpoint: Mapped[str]
    notes: Mapped[dict[str, Any]]
    total: Mapped[int]
    created_at: Mapped[float]
    expires_at: Mapped[float]
    output_seconds: Mapped[float | None]
    cancelling_at: Mapped[float | None]


class FineTuningJob(Owned, Base):
    """Two runs, one after the other: `prepare_run` makes a data set version of the files, `train_run` (None until
    then) the model `name`, from the version `base`. `model` and `method` are as they were asked for; `error` is
    {"code", "message", "param"} of what ended the job between the runs; `result_file` has the curves."""

    __tablename__ = "fine_tuning_jobs"
    __table_args__ = (Index(None, "tenant", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    base: Mapped[str]
    name: Mapped[str]
    dataset: Mapped[str]
    training_file: Mapped[str]
    validation_file: Mapped[str | None]
    method: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    notes: Mapped[dict[str, Any]]
    prepare_run: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    train_run: Mapped[str | None] = mapped_column(ForeignKey("runs.id"), index=True)
    result_file: Mapped[str | None]
    cancelled_at: Mapped[float | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[float]
    ended_at: Mapped[float | None]
