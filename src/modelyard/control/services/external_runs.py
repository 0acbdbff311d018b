"""Runs that a client drives itself, without a process of ours: MLflow's clients, notebooks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import artifacts, experiments, metric_points, notes
from modelyard.control.services.artifacts import ArtifactView
from modelyard.control.services.experiments import now_ms
from modelyard.control.services.files import StoredFile
from modelyard.control.services.idempotency import Once, made_before, remember
from modelyard.control.services.metric_points import Point
from modelyard.control.services.runs import RunView, get_run, view
from modelyard.errors import Conflict, InvalidInput
from modelyard.store.blobs import BlobWriter
from modelyard.store.tracking import ACTIVE, TrackedRun
from modelyard.store.work import Run
from modelyard.types.ids import new_id
from modelyard.types.run import END_STATES, EXTERNAL

STATES: Final = {"RUNNING": "running", "SCHEDULED": "running", "FINISHED": "succeeded", "FAILED": "failed",
                 "KILLED": "cancelled"}  # fmt: skip
"""MLflow's status of a run -> ours."""
_STATUS: Final = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
MOST_POINTS: Final = 10_000
LONGEST_PARAM, LONGEST_TAG = 6000, 8000
_MOST_NOTES: Final = 1000
_SHOWN_METRICS: Final = 50  # in a run's summary
RUN_TAG, RUN_PARAM = "run.tag", "run.param"


@dataclass(frozen=True, kw_only=True)
class NewExternal:
    """`experiment` is a number; times in milliseconds."""

    experiment: int = 0
    name: str = ""
    user: str = ""
    source: str = ""
    start_ms: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def start(session: Session, tenant: str, asked: NewExternal, now: float) -> tuple[Run, TrackedRun]:
    """A run that goes on until its client says that it has ended. Raises InvalidInput."""
    run = Run(
        id=new_id("run"), tenant=tenant, kind=EXTERNAL, params={"name": asked.name, "source": asked.source},
        publish={}, state="running", attempt=0, failures=0, cancel_requested=False, text="", summary={},
        outputs={}, created_at=now, started_at=now,
    )  # fmt: skip
    session.add(run)
    session.flush()
    start_ms = int(now * 1000) if asked.start_ms is None else asked.start_ms
    tracked = TrackedRun(
        tenant=tenant, run_id=run.id, experiment=asked.experiment, name=asked.name, user=asked.user,
        source=asked.source, status="RUNNING", state=ACTIVE, start_ms=start_ms,
    )  # fmt: skip
    for what, text in (("name", asked.name), ("user", asked.user), ("source", asked.source)):
        notes.check_text(f"a run's {what}", text[:LONGEST_TAG])
    session.add(tracked)
    session.flush()
    set_tags(session, run, asked.tags)
    set_params(session, run, asked.params)
    return run, tracked


def set_tags(session: Session, run: Run, tags: Mapping[str, str]) -> None:
    """Raises InvalidInput."""
    notes.check("tag", tags, LONGEST_TAG)
    notes.put(session, run.tenant, RUN_TAG, run.id, tags)


def set_params(session: Session, run: Run, params: Mapping[str, str]) -> None:
    """A parameter is said once: saying it again with the same value changes nothing, with another raises
    InvalidInput."""
    if not params:
        return
    notes.check("parameter", params, LONGEST_PARAM)
    known = notes.read_one(session, run.tenant, RUN_PARAM, run.id)
    other = {k: (known[k], v) for k, v in params.items() if k in known and known[k] != v}
    if other:
        key, (old, new) = next(iter(other.items()))
        raise InvalidInput(f"the parameter {key!r} of a run cannot change", came=new, allowed=old)
    new_ones = {k: v for k, v in params.items() if k not in known}
    notes.put(session, run.tenant, RUN_PARAM, run.id, new_ones)
    run.params = run.params | {"params": dict(sorted((known | new_ones).items()))}


def set_status(session: Session, tracked: TrackedRun, run: Run, status: str, end_ms: int | None) -> None:
    """A client may also take up again a run that has ended. Raises InvalidInput for an unknown status."""
    if status not in STATES:
        raise InvalidInput("the status of a run", came=status, allowed=sorted(STATES))
    tracked.status, run.state = status, STATES[status]
    ended = run.state in END_STATES
    tracked.end_ms = end_ms if ended else None
    run.ended_at = None if end_ms is None or not ended else end_ms / 1000
    if ended:
        newest = metric_points.latest(session, [run.id])[run.id][:_SHOWN_METRICS]
        run.summary = run.summary | {row.name: row.value for row in newest if not row.nan}


# What follows is the platform's own API.


def create(platform: Platform, tenant: str, asked: NewExternal, experiment: str | None,
           once: Once | None = None) -> RunView:  # fmt: skip
    """Raises InvalidInput; an experiment that is not there is made."""
    _check_notes(asked.params)
    _check_notes(asked.tags)
    with platform.database.write() as session:
        if (made := made_before(session, tenant, once)) is not None:
            return view(session, get_run(session, tenant, made))
        name = experiment or experiments.DEFAULT_NAME
        row = experiments.get_or_create(session, tenant, name, now_ms(platform))
        run, _ = start(session, tenant, replace(asked, experiment=row.number), platform.now())
        remember(session, tenant, once, run.id, run.created_at)
        return view(session, run)


def log_points(platform: Platform, tenant: str, run_id: str, points: Sequence[Point]) -> None:
    """Raises NotFound, Conflict for a run that has ended, InvalidInput."""
    if len(points) > MOST_POINTS:
        raise InvalidInput("too many points at once", came=len(points), allowed=MOST_POINTS)
    with platform.database.write() as session:
        run = _open_run(session, tenant, run_id)
        metric_points.log(session, tenant, run.id, points)


def finish(platform: Platform, tenant: str, run_id: str, state: str, summary: Mapping[str, Any]) -> RunView:
    """Raises NotFound, Conflict for a run that has ended in another state, InvalidInput."""
    if state not in _STATUS:
        raise InvalidInput("the state in which a run ends", came=state, allowed=sorted(_STATUS))
    if any(isinstance(v, float) and not math.isfinite(v) for v in summary.values()):
        raise InvalidInput("figures of a summary are finite numbers")
    with platform.database.write() as session:
        run, tracked = get_external(session, tenant, run_id)
        if run.state in END_STATES and run.state != state:
            raise Conflict("the run has ended already", came=run.state)
        if run.state not in END_STATES:
            set_status(session, tracked, run, _STATUS[state], now_ms(platform))
            run.summary = run.summary | dict(summary)
        return view(session, run)


def begin_artifact(platform: Platform, tenant: str, run_id: str, path: str, size: int | None) -> BlobWriter:
    """Raises NotFound and as `artifacts.begin`."""
    with platform.database.read() as session:
        get_external(session, tenant, run_id)
    return artifacts.begin(platform, tenant, path, size)


def finish_artifact(
    platform: Platform, tenant: str, run_id: str, path: str, writer: BlobWriter
) -> ArtifactView:
    """Keep what was written. Raises as `artifacts.put`."""
    entry = writer.commit()
    with platform.database.write() as session:
        run, _ = get_external(session, tenant, run_id)
        artifacts.put(session, artifacts.shelf_of(run), path, entry, platform.now())
    return ArtifactView(path=path, is_dir=False, size=entry.size)


def list_artifacts(platform: Platform, tenant: str, run_id: str, folder: str) -> list[ArtifactView]:
    """Of a run of any kind. Raises NotFound."""
    with platform.database.read() as session:
        shelf = artifacts.shelf_of(get_run(session, tenant, run_id))
        return artifacts.listing(session, shelf, folder.strip("/"))


def open_artifact(platform: Platform, tenant: str, run_id: str, path: str) -> StoredFile:
    """Of a run of any kind. Raises NotFound."""
    with platform.database.read() as session:
        return artifacts.stored(platform, session, artifacts.shelf_of(get_run(session, tenant, run_id)), path)


def get_external(session: Session, tenant: str, run_id: str) -> tuple[Run, TrackedRun]:
    """Raises NotFound, and InvalidInput for a run that the platform drives."""
    run = get_run(session, tenant, run_id)
    tracked = session.get(TrackedRun, run.id)
    if tracked is None:
        raise InvalidInput("the platform itself drives this run", came=run.kind, allowed=EXTERNAL)
    return run, tracked


def _open_run(session: Session, tenant: str, run_id: str) -> Run:
    run, _ = get_external(session, tenant, run_id)
    if run.state in END_STATES:
        raise Conflict("the run has ended already", came=run.state)
    return run


def _check_notes(given: Mapping[str, str]) -> None:
    if len(given) > _MOST_NOTES:
        raise InvalidInput("too many at once", came=len(given), allowed=_MOST_NOTES)
