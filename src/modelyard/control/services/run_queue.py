"""A run's way from queued to its one end. Every step is one transaction that first looks whether it still
applies."""

import secrets
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform, digest_of
from modelyard.control.services import adoption, batch_files, run_folders
from modelyard.control.services.adoption import Found
from modelyard.control.services.batch_files import Kept
from modelyard.control.services.runs import end
from modelyard.errors import ModelyardError
from modelyard.store.work import Run
from modelyard.types.process import PlatformConfig
from modelyard.types.run import BATCH, EXTERNAL, RunOutcome

MOST_FAILURES: Final = 3
_MOST_ATTEMPTS: Final = 50  # those that a restart of the platform ended among them
_MOST_BESIDE: Final = 2  # runs of other kinds at one time


def running(platform: Platform) -> Sequence[Run]:
    """The runs that have an attempt, the oldest first; those that a client drives itself have none."""
    with platform.database.read() as session:
        ours = Run.state == "running", Run.kind != EXTERNAL
        return session.scalars(select(Run).where(*ours).order_by(Run.id)).all()


def next_queued(platform: Platform, busy: frozenset[str]) -> Run | None:
    """The oldest queued run that may start now; `busy` are ids whose last attempt has not ended yet."""
    with platform.database.read() as session:
        query = select(Run).where(Run.state == "queued", Run.id.not_in(busy))
        for kinds, most in _groups(platform.config):
            count = select(func.count()).select_from(Run).where(Run.state == "running", kinds)
            if (session.scalar(count) or 0) >= most:
                query = query.where(~kinds)
        for tenant in _with_enough_batches(session, platform.config):
            query = query.where(~((Run.kind == BATCH) & (Run.tenant == tenant)))
        return session.scalar(query.order_by(Run.id).limit(1))


def _groups(config: PlatformConfig) -> list[tuple[ColumnElement[bool], int]]:
    """Kinds that share a limit, and how many of them work at one time."""
    limited = {
        ("train", "finetune"): config.max_runs,
        ("script",): config.max_scripts,
        (BATCH,): config.max_batches,
    }
    groups = [(Run.kind.in_(kinds), most) for kinds, most in limited.items()]
    return [*groups, (Run.kind.not_in([*chain(*limited), EXTERNAL]), _MOST_BESIDE)]


def _with_enough_batches(session: Session, config: PlatformConfig) -> Sequence[str]:
    """Tenants whose batches take half of the places: a batch may go on for a day."""
    working = select(Run.tenant).where(Run.state == "running", Run.kind == BATCH).group_by(Run.tenant)
    return session.scalars(working.having(func.count() >= -(-config.max_batches // 2))).all()


def claim(platform: Platform, run_id: str) -> Run | None:
    """Begin the next attempt of a queued run: its folder, then its row. None where it is not queued any more.

    Raises OSError for a disk that is full. A run whose input is gone has failed.
    """
    token = secrets.token_urlsafe(32)
    with platform.database.write() as session:
        run = _load(session, run_id, "queued")
        if run is None:
            return None
        try:
            run_folders.write(platform, session, run, run.attempt + 1, token)
        except ModelyardError as error:
            _fail(session, run, error.to_dict(), platform.now())
            return None
        run.attempt += 1
        run.state, run.token_hash = "running", digest_of(token)
        run.started_at = run.started_at or platform.now()
        platform.leases.renew(run.id, run.attempt)
    if run.kind == BATCH:
        platform.changes.tell()  # the gateway is to know this attempt's key
    return run


def settle(platform: Platform, run: Run, reason: str, *, own_failure: bool) -> None:
    """The attempt has ended: publish what it made, note its failure, or queue the run for another attempt.

    `reason` says how the process ended; `own_failure`: of itself, and not with the platform.
    """
    outcome = run_folders.read_outcome(platform, run.id, run.attempt)
    kept = batch_files.gather(platform, run)
    if outcome is None or outcome.state == "cancelled":
        _interrupt(platform, run, reason, kept, own_failure=own_failure and outcome is None)
    elif outcome.state == "failed":
        error = outcome.error or {"code": "internal", "message": "the run failed without saying why"}
        _end(platform, run, error, outcome.summary, kept)
    else:
        _adopt(platform, run, outcome, kept)
    platform.changes.tell()


def fence(platform: Platform, run: Run, reason: str) -> None:
    """The attempt is silent: whatever it may still do, it is not the run's any more."""
    _interrupt(platform, run, reason, batch_files.gather(platform, run), own_failure=True)
    platform.changes.tell()


def give_up(platform: Platform, run: Run, error: dict[str, Any]) -> None:
    """The attempt's outputs cannot be kept."""
    _end(platform, run, error, {}, None)
    platform.changes.tell()


def _adopt(platform: Platform, run: Run, outcome: RunOutcome, kept: Kept | None) -> None:
    outputs = run_folders.attempt_folder(platform, run.id, run.attempt) / "outputs"
    try:
        found = adoption.gather(platform, outputs, outcome)
        _publish(platform, run, found, outcome, kept)
    except ModelyardError as error:
        _end(platform, run, error.to_dict(), outcome.summary, kept)
    else:
        _forget(platform, run)


def _publish(platform: Platform, run: Run, found: Found, outcome: RunOutcome, kept: Kept | None) -> None:
    with platform.database.write() as session:
        row = _load(session, run.id, "running", run.attempt)
        if row is None:
            return
        row.summary, row.error = outcome.summary, None
        row.outputs = adoption.publish(session, row, found, platform.now())
        batch_files.publish(session, row, kept, platform.now())
        end(session, row, "succeeded", platform.now())


def _interrupt(platform: Platform, run: Run, reason: str, kept: Kept | None, *, own_failure: bool) -> None:
    """Cancelled where that was asked for, else queued again, until it has failed too often."""
    with platform.database.write() as session:
        row = _load(session, run.id, "running", run.attempt)
        if row is None:
            return
        row.failures += own_failure
        if row.cancel_requested:
            row.error = {"code": "cancelled", "message": "the run was cancelled"}
            end(session, row, "cancelled", platform.now())
        elif row.failures >= MOST_FAILURES or row.attempt >= _MOST_ATTEMPTS:
            message = (
                f"the run's process did not come to an end in {row.attempt} attempts; the last one {reason}"
            )
            _fail(session, row, {"code": "process_died", "message": message}, platform.now())
        else:
            row.state, row.token_hash = "queued", None
        ended = row.state != "queued"
        if ended:
            batch_files.publish(session, row, kept, platform.now())
    if ended:
        _forget(platform, run)


def _end(
    platform: Platform, run: Run, error: dict[str, Any], summary: dict[str, Any], kept: Kept | None
) -> None:
    with platform.database.write() as session:
        row = _load(session, run.id, "running", run.attempt)
        if row is None:
            return
        row.summary = summary
        batch_files.publish(session, row, kept, platform.now())
        _fail(session, row, error, platform.now())
    _forget(platform, run)


def _fail(session: Session, run: Run, error: dict[str, Any], now: float) -> None:
    run.error = error
    end(session, run, "failed", now)


def _forget(platform: Platform, run: Run) -> None:
    platform.leases.drop(run.id)
    run_folders.clear(platform, run.id)


def _load(session: Session, run_id: str, state: str, attempt: int | None = None) -> Run | None:
    """The run, where it is still in this state and attempt."""
    run = session.get(Run, run_id)
    if run is None or run.state != state or (attempt is not None and run.attempt != attempt):
        return None
    return run
