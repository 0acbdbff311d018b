"""What a fine-tuning job tells of itself: events, and the checkpoints that can be used.

Both are made of the job's row and its runs when they are asked for; an event's number never changes, so that pages
hold while the job goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.control.openai.errors import BadParameter
from modelyard.control.openai.fine_tuning import JOBS, get
from modelyard.control.openai.pages import PageAsked, size_of
from modelyard.control.openai.wire import Caller, Operation, listed, seconds
from modelyard.control.platform import Platform
from modelyard.control.services import fine_tuning
from modelyard.control.services.fine_tuning_results import COLUMNS, points_of
from modelyard.store.openai import FineTuningJob
from modelyard.store.work import Run

_EVENTS, _CHECKPOINTS, _MOST = 20, 10, 1000
_FIRST_STEP, _END = 10, 10**12  # numbers of events: those of steps lie between
_DIGITS: Final = 13


class Page(PageAsked, frozen=True, kw_only=True):
    job: str


@dataclass(frozen=True, kw_only=True)
class Event:
    number: int
    time: float
    message: str
    level: str = "info"
    data: dict[str, Any] = field(default_factory=dict)


def _events(platform: Platform, caller: Caller, asked: Page) -> dict[str, Any]:
    limit = size_of(asked, _EVENTS, _MOST)
    with platform.database.read() as session:
        job = get(session, caller, asked.job)
        found = [e for e in _all(session, job) if asked.after is None or e.number < _number(job, asked.after)]
    found.sort(key=lambda event: event.number, reverse=True)
    return listed([_view(job, event) for event in found[:limit]], len(found) > limit)


def _checkpoints(platform: Platform, caller: Caller, asked: Page) -> dict[str, Any]:
    """The model that came out: those of runs under way are for the run alone."""
    size_of(asked, _CHECKPOINTS, _MOST)
    with platform.database.read() as session:
        job = get(session, caller, asked.job)
        made = _checkpoint_id(job)
        if asked.after is not None and asked.after != made:
            raise BadParameter("after", "not a place in this list", came=asked.after, allowed=made)
        done = fine_tuning.state_of(session, job) == "succeeded" and asked.after is None
        return listed([_checkpoint(session, job)] if done else [], False)


def _all(session: Session, job: FineTuningJob) -> Iterator[Event]:
    yield Event(number=0, time=job.created_at, message=f"Created fine-tuning job: {job.id}")
    prepare = session.get_one(Run, job.prepare_run)
    if prepare.started_at is not None:
        yield Event(
            number=1, time=prepare.started_at, message=f"Validating training file: {job.training_file}"
        )
    if prepare.state == "succeeded" and prepare.ended_at is not None:
        message = "Files validated, moving job to queued state"
        yield Event(number=2, time=prepare.ended_at, message=message)
    if job.train_run is not None:
        yield from _training(session, session.get_one(Run, job.train_run))
    yield from _end(session, job)


def _training(session: Session, run: Run) -> Iterator[Event]:
    if run.started_at is not None:
        yield Event(number=3, time=run.started_at, message="Fine-tuning job started")
    for point in points_of(session, run.id):
        data = {"step": point["step"], **{name: point[name] for name in COLUMNS if name in point}}
        if run.total and run.total > 1:
            data["total_steps"] = int(run.total)
        said = ", ".join(f"{name} {point[name]:.4g}" for name in COLUMNS if name in point)
        of = f"/{data['total_steps']}" if "total_steps" in data else ""
        message = f"Step {point['step']}{of}: {said}"
        yield Event(number=_FIRST_STEP + point["step"], time=point["time"], message=message, data=data)


def _end(session: Session, job: FineTuningJob) -> Iterator[Event]:
    state, run = fine_tuning.state_of(session, job), session.get_one(Run, job.train_run or job.prepare_run)
    ended = job.ended_at or run.ended_at or job.created_at
    if state == "succeeded":
        made = f"New fine-tuned model created: {_reference(job, run)}"
        yield Event(number=_END, time=ended, message=made)
        yield Event(number=_END + 1, time=ended, message="The job has successfully completed")
    elif state == "failed":
        error = job.error or run.error or {}
        yield Event(
            number=_END, time=ended, message=str(error.get("message", "the job failed")), level="error"
        )
    elif state == "cancelled":
        yield Event(number=_END, time=ended, message="The job was cancelled", level="warn")


def _view(job: FineTuningJob, event: Event) -> dict[str, Any]:
    return {
        "id": f"ftevent-{job.id.partition('-')[2]}-{event.number:0{_DIGITS}d}",
        "object": "fine_tuning.job.event",
        "created_at": seconds(event.time),
        "level": event.level,
        "message": event.message,
        "type": "metrics" if event.data else "message",
        "data": event.data,
    }


def _number(job: FineTuningJob, event_id: str) -> int:
    start = f"ftevent-{job.id.partition('-')[2]}-"
    digits = event_id.removeprefix(start)
    if (
        not event_id.startswith(start)
        or len(digits) != _DIGITS
        or not (digits.isascii() and digits.isdigit())
    ):
        raise BadParameter("after", "not a place in this list", came=event_id, allowed=f"an id, {start}...")
    return int(digits)


def _checkpoint_id(job: FineTuningJob) -> str:
    return f"ftckpt-{job.id.partition('-')[2]}"


def _reference(job: FineTuningJob, run: Run) -> str:
    version = run.outputs.get("model", {}).get("version")
    return job.name if version is None else f"{job.name}:{version}"


def _checkpoint(session: Session, job: FineTuningJob) -> dict[str, Any]:
    run = session.get_one(Run, job.train_run)
    points = points_of(session, run.id)
    step = int(run.summary.get("steps", 0))
    last = {name: next((p[name] for p in reversed(points) if name in p), None) for name in COLUMNS}
    return {
        "id": _checkpoint_id(job),
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds(run.ended_at),
        "fine_tuned_model_checkpoint": _reference(job, run),
        "fine_tuning_job_id": job.id,
        "metrics": {"step": step, **last, "full_valid_loss": last["valid_loss"]},
        "step_number": step,
    }


OPERATIONS: Final = (
    Operation(method="GET", path=JOBS + "/{job}/events", asked=Page, answer=_events),
    Operation(method="GET", path=JOBS + "/{job}/checkpoints", asked=Page, answer=_checkpoints),
)
