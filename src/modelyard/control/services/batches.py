"""Batches: a file of requests, and the run that answers them."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import runs
from modelyard.control.services.idempotency import Once, made_before, remember
from modelyard.control.services.plans import plan_batch
from modelyard.store.openai import ApiFile, Batch
from modelyard.store.work import Run, RunMetric
from modelyard.types.ids import new_id
from modelyard.types.run import BATCH

WINDOW: Final = 24 * 3600.0
FIGURES: Final = ("completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclass(frozen=True, kw_only=True)
class NewBatch:
    """`key` is the id of the key that asks; `file` is one that was found good for batches. `output_seconds`: how
    long what comes out is kept, or None."""

    key: str
    file: ApiFile
    endpoint: str
    notes: dict[str, str]
    output_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Where a run of a batch is: its state with the figures of what it has answered, and when it began to answer
    and had answered all (None for what did not come yet)."""

    state: str
    figures: dict[str, int]
    answering_at: float | None
    answered_at: float | None


def create(platform: Platform, session: Session, tenant: str, new: NewBatch, once: Once | None) -> Batch:
    """Queue the batch's run, in the caller's transaction; `platform.changes` is told after it. Raises Busy where
    too many runs wait, Conflict for an Idempotency-Key of another request."""
    if (made := made_before(session, tenant, once)) is not None:
        return session.get_one(Batch, made)
    now = platform.now()
    planned = plan_batch(new.file, new.endpoint, now + WINDOW)
    run = runs.queue(platform, session, tenant, BATCH, planned)
    row = Batch(
        id=new_id("batch"),
        tenant=tenant,
        run_id=run.id,
        key_id=new.key,
        input_file=new.file.id,
        endpoint=new.endpoint,
        notes=new.notes,
        total=new.file.lines or 0,
        created_at=now,
        expires_at=now + WINDOW,
        output_seconds=new.output_seconds,
        cancelling_at=None,
    )
    session.add(row)
    session.flush()
    remember(session, tenant, once, row.id, now)
    return row


def find(session: Session, tenant: str, batch_id: str) -> Batch | None:
    row = session.get(Batch, batch_id)
    return row if row is not None and row.tenant == tenant else None


def cancel(platform: Platform, tenant: str, row: Batch) -> None:
    """Raises Conflict for one that has ended."""
    runs.cancel(platform, tenant, row.run_id)
    with platform.database.write() as session:
        batch = session.get_one(Batch, row.id)
        batch.cancelling_at = batch.cancelling_at or platform.now()


def phase(session: Session, run: Run) -> Phase:
    """While it works, from what it reports; at its end, from what was taken over."""
    points = select(RunMetric.step, RunMetric.time).where(
        RunMetric.run_id == run.id, RunMetric.name == FIGURES[0]
    )
    first = session.execute(points.order_by(RunMetric.step).limit(1)).first()
    last = session.execute(points.order_by(RunMetric.step.desc()).limit(1)).first()
    figures = {name: int(run.summary.get(name, 0)) for name in FIGURES}
    if run.ended_at is None and last is not None:
        figures |= _at(session, run, last.step)
    return Phase(
        state=_state(run),
        figures=figures,
        answering_at=None if first is None else first.time,
        answered_at=last.time
        if last is not None and run.total is not None and last.step >= run.total
        else None,
    )


def _at(session: Session, run: Run, step: int) -> dict[str, int]:
    query = select(RunMetric.name, RunMetric.value).where(RunMetric.run_id == run.id, RunMetric.step == step)
    return {name: int(value) for name, value in session.execute(query) if name in FIGURES}


def _state(run: Run) -> str:
    """In OpenAI's words, but for a wish to cancel."""
    if run.state == "succeeded":
        return "expired" if run.summary.get("expired") else "completed"
    if run.state in ("failed", "cancelled"):
        return run.state
    if run.done is None or run.total is None:
        return "validating"
    return "finalizing" if run.done >= run.total else "in_progress"
