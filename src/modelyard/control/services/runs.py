"""Runs as their owners see them: submit, list, show, cancel, log, metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import artifacts, batch_files, metric_points
from modelyard.control.services.idempotency import Once, made_before, remember
from modelyard.control.services.names import known_id
from modelyard.control.services.pages import Page, PageRequest, fetch
from modelyard.control.services.plans import Input, Plan, plan, plan_dataset
from modelyard.control.services.sources import FILES, entry_of_source
from modelyard.errors import Busy, Conflict, NotFound
from modelyard.store.links import link, unlink
from modelyard.store.tracking import TrackedRun
from modelyard.store.work import Run, RunInput, RunMetric
from modelyard.types.ids import new_id
from modelyard.types.run import BATCH, END_STATES, EXTERNAL, SCRIPT

_MOST_QUEUED = 1000
SOURCE_FOLDER = "source"  # of a script's own files among its run's artifacts


@dataclass(frozen=True, kw_only=True)
class Progress:
    done: float
    total: float
    text: str


@dataclass(frozen=True, kw_only=True)
class RunView:
    """`inputs` maps a name to the version that it meant when the run was queued; `outputs` what was
    published."""

    id: str
    kind: str
    state: str
    params: dict[str, Any]
    attempt: int
    inputs: dict[str, str]
    progress: Progress | None
    summary: dict[str, Any]
    outputs: dict[str, Any]
    error: dict[str, Any] | None
    cancel_requested: bool
    created_at: float
    started_at: float | None
    ended_at: float | None


def submit(platform: Platform, tenant: str, kind: str, params: Mapping[str, Any],
           once: Once | None = None) -> RunView:  # fmt: skip
    """Queue a run. Raises what `plans.plan` does, before anything is queued, and Busy where too many wait."""
    return _submit(platform, tenant, kind, lambda session: plan(session, tenant, kind, params), once)


def submit_dataset(platform: Platform, tenant: str, name: str, uploads: list[str],
                   options: Mapping[str, Any], once: Once | None = None) -> RunView:  # fmt: skip
    """Queue the run that makes a version of the data set. Raises as `submit` does."""
    return _submit(
        platform,
        tenant,
        "prepare",
        lambda session: plan_dataset(session, tenant, name, uploads, options),
        once,
    )


def submit_planned(platform: Platform, tenant: str, kind: str, planner: Callable[[Session], Plan],
                   once: Once | None = None) -> RunView:  # fmt: skip
    """The same for a kind that has an address of its own; `planner` works in the transaction that queues."""
    return _submit(platform, tenant, kind, planner, once)


def list_runs(platform: Platform, tenant: str, request: PageRequest) -> Page[RunView]:
    """The newest first."""
    with platform.database.read() as session:
        rows, cursor = fetch(
            session, select(Run).where(Run.tenant == tenant), Run.id, request, descending=True
        )
        return Page(items=[view(session, row) for row in rows], next=cursor)


def show(platform: Platform, tenant: str, run_id: str) -> RunView:
    """Raises NotFound."""
    with platform.database.read() as session:
        return view(session, get_run(session, tenant, run_id))


def cancel(platform: Platform, tenant: str, run_id: str) -> RunView:
    """A queued run is cancelled now; a running one is asked to stop. Raises Conflict for one that has
    ended."""
    with platform.database.read() as session:
        run = get_run(session, tenant, run_id)
    kept = batch_files.gather(platform, run) if run.state == "queued" else None  # of attempts before
    with platform.database.write() as session:
        run = get_run(session, tenant, run_id)
        if run.state in END_STATES and run.state != "cancelled":
            raise Conflict("the run has ended already", came=run.state)
        if run.state == "queued" or (run.state == "running" and run.kind == EXTERNAL):
            kept = kept or batch_files.gather(platform, run)  # it was queued again just now
            end(session, run, "cancelled", platform.now())
            batch_files.publish(session, run, kept, platform.now())
            _say_killed(session, run)
        if run.state == "running":
            run.cancel_requested = True
        shown = view(session, run)
    platform.changes.tell()
    return shown


def retry(platform: Platform, tenant: str, run_id: str, once: Once | None = None) -> RunView:
    """Queue the same work again, with the versions that it worked on, as a run of its own.

    Raises Conflict for a run that has not ended or that a client drives itself, NotFound where a file of it is
    gone.
    """
    with platform.database.read() as session:
        run = get_run(session, tenant, run_id)
        if run.state not in END_STATES or run.kind == EXTERNAL:
            raise Conflict("only a run that has ended and has a process can be run again", came=run.state)
        if run.kind == BATCH:
            raise Conflict("a batch is not run again; make another one of its file")
        inputs = [_again(run, row) for row in inputs_of(session, run)]
        planned = Plan(params=run.params, inputs=inputs, publish=dict(run.publish))
    return _submit(platform, tenant, run.kind, lambda session: planned, once)


def _again(run: Run, row: RunInput) -> Input:
    """A script's files are kept with its run; uploads of other kinds may be gone."""
    kind = "artifact" if run.kind == SCRIPT and row.kind == "upload" else row.kind
    return Input(
        name=row.name, kind=kind, version_id=row.version_id, reference=row.reference, digest=row.digest
    )


def metrics(platform: Platform, tenant: str, run_id: str) -> dict[str, list[list[float]]]:
    """Metric -> its points [step, value], in order."""
    with platform.database.read() as session:
        run = get_run(session, tenant, run_id)
        if run.kind == EXTERNAL:
            return metric_points.curves(session, run.id)
        query = select(RunMetric.name, RunMetric.step, RunMetric.value).where(RunMetric.run_id == run.id)
        curves: dict[str, list[list[float]]] = {}
        for name, step, value in session.execute(query.order_by(RunMetric.name, RunMetric.step)):
            curves.setdefault(name, []).append([step, value])
        return curves


def get_run(session: Session, tenant: str, run_id: str) -> Run:
    """Raises NotFound."""
    run = session.get(Run, known_id("run", run_id))
    if run is None or run.tenant != tenant:
        raise NotFound("there is no such run")
    return run


def inputs_of(session: Session, run: Run) -> list[RunInput]:
    return list(session.scalars(select(RunInput).where(RunInput.run_id == run.id).order_by(RunInput.name)))


def end(session: Session, run: Run, state: str, now: float) -> None:
    """The one end of a run; only the transaction that finds it unended may call this."""
    assert run.state not in END_STATES
    run.state, run.ended_at, run.token_hash = state, now, None
    unlink(session, run.tenant, run.id)


def _say_killed(session: Session, run: Run) -> None:
    """To the client that drives it, which asks now and then."""
    mine = TrackedRun.run_id == run.id
    session.execute(
        update(TrackedRun).where(mine).values(status="KILLED", end_ms=int((run.ended_at or 0) * 1000))
    )


def view(session: Session, run: Run) -> RunView:
    progress = None
    if run.done is not None and run.total is not None:
        progress = Progress(done=run.done, total=run.total, text=run.text)
    return RunView(
        id=run.id,
        kind=run.kind,
        state=run.state,
        params=run.params,
        attempt=run.attempt,
        inputs={i.name: i.reference for i in inputs_of(session, run)},
        progress=progress,
        summary=run.summary,
        outputs=run.outputs,
        error=run.error,
        cancel_requested=run.cancel_requested,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _submit(platform: Platform, tenant: str, kind: str, planner: Callable[[Session], Plan],
            once: Once | None) -> RunView:  # fmt: skip
    with platform.database.write() as session:
        if (made := made_before(session, tenant, once)) is not None:
            return view(session, get_run(session, tenant, made))
        run = _queue(platform, session, tenant, kind, planner(session))
        remember(session, tenant, once, run.id, run.created_at)
        shown = view(session, run)
    platform.changes.tell()
    return shown


def queue(platform: Platform, session: Session, tenant: str, kind: str, planned: Plan) -> Run:
    """Queue a run in the caller's transaction; `platform.changes` is told after it. Raises Busy."""
    return _queue(platform, session, tenant, kind, planned)


def _queue(platform: Platform, session: Session, tenant: str, kind: str, planned: Plan) -> Run:
    waiting = select(Run.id).where(Run.tenant == tenant, Run.state == "queued").limit(_MOST_QUEUED)
    if len(session.scalars(waiting).all()) >= _MOST_QUEUED:
        raise Busy("too many runs wait; let some end or cancel them", allowed=_MOST_QUEUED)
    run = Run(
        id=new_id("run"),
        tenant=tenant,
        kind=planned.kind or kind,
        params=planned.params,
        publish=planned.publish,
        state="queued",
        attempt=0,
        failures=0,
        cancel_requested=False,
        text="",
        summary={},
        outputs={},
        created_at=platform.now(),
    )
    session.add(run)
    session.flush()
    for i in planned.inputs:
        row = RunInput(tenant=tenant, run_id=run.id, name=i.name, kind=i.kind, version_id=i.version_id,
                       reference=i.reference, digest=i.digest)  # fmt: skip
        session.add(row)
    files = {i.name: entry_of_source(session, tenant, i) for i in planned.inputs if i.kind in FILES}
    link(session, tenant, run.id, files.values(), run.created_at)
    if kind == SCRIPT:  # what was run can be read, and run again, as long as the run is there
        sources = {f"{SOURCE_FOLDER}/{name}": entry for name, entry in files.items()}
        artifacts.publish(session, run, sources, run.created_at)
    return run
