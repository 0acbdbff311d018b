"""What runs say while they work, believed only with the token of the present attempt."""

import hmac
import math
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform, digest_of
from modelyard.control.services.names import known_id
from modelyard.errors import InvalidInput, LeaseLost
from modelyard.store.work import Run, RunMetric
from modelyard.types.run import RunEvent, RunEvents, RunReply

_MOST_POINTS = 200  # metrics in one event
_LONGEST_NAME = 100
_LARGEST_STEP = 2**31 - 1


def receive(platform: Platform, run_id: str, token: str, said: RunEvents) -> RunReply:
    """Note what an attempt says and extend its lease.

    Raises LeaseLost for any token but that of the present attempt.
    """
    known_id("run", run_id)
    for event in said.events:
        _check(event)
    with platform.database.read() as session:
        cancel = _holder(session, run_id, token, said.attempt).cancel_requested
    platform.leases.renew(run_id, said.attempt)
    if said.events:
        cancel = _note(platform, run_id, token, said)
    return RunReply(cancel=cancel)


def _note(platform: Platform, run_id: str, token: str, said: RunEvents) -> bool:
    with platform.database.write() as session:
        run = _holder(session, run_id, token, said.attempt)
        for event in said.events:
            if event.done is not None and event.total is not None:
                run.done, run.total, run.text = event.done, event.total, event.text[:500].replace("\0", "")
        _add_points(session, run, said.events)
        return run.cancel_requested


def _holder(session: Session, run_id: str, token: str, attempt: int) -> Run:
    run = session.get(Run, run_id)
    if (
        run is None
        or run.state != "running"
        or run.attempt != attempt
        or not hmac.compare_digest(run.token_hash or "", digest_of(token))
    ):
        raise LeaseLost("this attempt is not the run's any more; stop without publishing")
    return run


def _add_points(session: Session, run: Run, events: tuple[RunEvent, ...]) -> None:
    """The first word on a point stays: what is sent twice, or again after a resume, changes nothing."""
    points = {(name, e.step): (value, e.time) for e in reversed(events) if e.step is not None
              for name, value in e.metrics.items()}  # fmt: skip
    steps = {step for _, step in points}
    query = select(RunMetric.name, RunMetric.step).where(
        RunMetric.run_id == run.id, RunMetric.step.in_(steps)
    )
    known: set[Any] = {(name, step) for name, step in session.execute(query)}
    for (name, step), (value, time) in points.items():
        if (name, step) not in known:
            row = RunMetric(tenant=run.tenant, run_id=run.id, name=name, step=step, value=value, time=time)
            session.add(row)


def _check(event: RunEvent) -> None:
    if len(event.metrics) > _MOST_POINTS:
        raise InvalidInput("too many metrics in one event", came=len(event.metrics), allowed=_MOST_POINTS)
    if event.step is not None and not 0 <= event.step <= _LARGEST_STEP:
        raise InvalidInput("step", came=event.step, allowed=f"0 to {_LARGEST_STEP}")
    for name, value in event.metrics.items():
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or not math.isfinite(value):
            raise InvalidInput(
                "a metric", came=f"{name!r} = {value}", allowed="a printable name, a finite number"
            )
