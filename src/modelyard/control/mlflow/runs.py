"""Runs on MLflow's wire: their life, their tags and parameters, what they read and made."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.control.mlflow import run_names, run_views
from modelyard.control.mlflow.run_views import CONTEXT_TAG, NAME_TAG, USER_TAG
from modelyard.control.mlflow.wire import Asked, Operation, Pair, notes_of, required
from modelyard.control.platform import Platform
from modelyard.control.services import experiments, external_runs, notes
from modelyard.control.services.external_runs import RUN_TAG, NewExternal
from modelyard.errors import InvalidInput, NotFound
from modelyard.store.tracking import ACTIVE, DELETED, RunDataset, RunModel, TrackedRun
from modelyard.store.work import Run

_SOURCE_TAG: Final = "mlflow.source.name"
_MOST_INPUTS: Final = 1000
_LARGEST_TIME: Final = 2**62


class Create(Asked, frozen=True, kw_only=True):
    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: int | None = None
    tags: tuple[Pair, ...] = ()


class One(Asked, frozen=True, kw_only=True):
    """`run_uuid` is what old clients say."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def id(self) -> str:
        return required("run_id", self.run_id or self.run_uuid)


class Update(One, frozen=True, kw_only=True):
    status: str = ""
    end_time: int | None = None
    run_name: str = ""


class KeyValue(One, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""


class Dataset(Asked, frozen=True, kw_only=True):
    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInput(Asked, frozen=True, kw_only=True):
    dataset: Dataset
    tags: tuple[Pair, ...] = ()


class ModelInput(Asked, frozen=True, kw_only=True):
    model_id: str = ""
    step: int = 0


class LogInputs(One, frozen=True, kw_only=True):
    datasets: tuple[DatasetInput, ...] = ()
    models: tuple[ModelInput, ...] = ()


def active_run(session: Session, tenant: str, run_id: str) -> tuple[Run, TrackedRun]:
    """A run that may be written to. Raises NotFound, and InvalidInput where it was deleted."""
    run, tracked = external_runs.get_external(session, tenant, run_id)
    if tracked.state != ACTIVE:
        raise InvalidInput(
            f"The run {run_id} must be in the 'active' state. Current state is {tracked.state}."
        )
    return run, tracked


def _create(platform: Platform, tenant: str, asked: Create) -> dict[str, Any]:
    tags = notes_of(asked.tags)
    name = asked.run_name or tags.get(NAME_TAG) or run_names.make()
    if asked.start_time is not None and not 0 <= asked.start_time < _LARGEST_TIME:
        raise InvalidInput("start_time", came=asked.start_time, allowed="milliseconds since the epoch")
    with platform.database.write() as session:
        if asked.experiment_id == "0":
            experiments.ensure_default(session, tenant, experiments.now_ms(platform))
        experiment = experiments.check_active(experiments.get(session, tenant, asked.experiment_id))
        new = NewExternal(
            experiment=experiment.number, name=name, user=asked.user_id or tags.get(USER_TAG, ""),
            source=tags.get(_SOURCE_TAG, ""), start_ms=asked.start_time, tags=tags | {NAME_TAG: name},
        )  # fmt: skip
        _, tracked = external_runs.start(session, tenant, new, platform.now())
        return {"run": run_views.whole(session, tenant, [tracked])[0]}


def _get(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        _, tracked = external_runs.get_external(session, tenant, asked.id)
        return {"run": run_views.whole(session, tenant, [tracked])[0]}


def _update(platform: Platform, tenant: str, asked: Update) -> dict[str, Any]:
    if asked.end_time is not None and not 0 <= asked.end_time < _LARGEST_TIME:
        raise InvalidInput("end_time", came=asked.end_time, allowed="milliseconds since the epoch")
    with platform.database.write() as session:
        run, tracked = active_run(session, tenant, asked.id)
        if asked.status:
            end = experiments.now_ms(platform) if asked.end_time is None else asked.end_time
            external_runs.set_status(session, tracked, run, asked.status, end)
        if asked.run_name:
            external_runs.set_tags(session, run, {NAME_TAG: asked.run_name})
            tracked.name = asked.run_name
            run.params = run.params | {"name": asked.run_name}
        return {"run_info": run_views.info(tracked)}


def _delete(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.write() as session:
        external_runs.get_external(session, tenant, asked.id)[1].state = DELETED
    return {}


def _restore(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.write() as session:
        external_runs.get_external(session, tenant, asked.id)[1].state = ACTIVE
    return {}


def _log_parameter(platform: Platform, tenant: str, asked: KeyValue) -> dict[str, Any]:
    with platform.database.write() as session:
        run, _ = active_run(session, tenant, asked.id)
        external_runs.set_params(session, run, {asked.key: asked.value})
    return {}


def _set_tag(platform: Platform, tenant: str, asked: KeyValue) -> dict[str, Any]:
    with platform.database.write() as session:
        run, tracked = active_run(session, tenant, asked.id)
        set_tags(session, run, tracked, {asked.key: asked.value})
    return {}


def set_tags(session: Session, run: Run, tracked: TrackedRun, tags: dict[str, str]) -> None:
    """Some tags are what the run is called and whose it is."""
    external_runs.set_tags(session, run, tags)
    tracked.name = tags.get(NAME_TAG, tracked.name)
    tracked.user = tags.get(USER_TAG, tracked.user)


def _delete_tag(platform: Platform, tenant: str, asked: KeyValue) -> dict[str, Any]:
    with platform.database.write() as session:
        run, _ = active_run(session, tenant, asked.id)
        if not notes.remove(session, tenant, RUN_TAG, run.id, required("key", asked.key)):
            raise NotFound(f"No tag with name: {asked.key[:200]} in run with id {run.id}")
    return {}


def _log_inputs(platform: Platform, tenant: str, asked: LogInputs) -> dict[str, Any]:
    if len(asked.datasets) + len(asked.models) > _MOST_INPUTS:
        raise InvalidInput("too many inputs at once", allowed=_MOST_INPUTS)
    with platform.database.write() as session:
        run, _ = active_run(session, tenant, asked.id)
        for given in asked.datasets:
            _add_dataset(session, run, given)
        add_models(session, run, "input", asked.models)
    return {}


def _log_outputs(platform: Platform, tenant: str, asked: LogInputs) -> dict[str, Any]:
    with platform.database.write() as session:
        run, _ = active_run(session, tenant, asked.id)
        add_models(session, run, "output", asked.models)
    return {}


def add_models(session: Session, run: Run, role: str, models: Sequence[ModelInput]) -> None:
    if len(models) > _MOST_INPUTS:
        raise InvalidInput("too many models at once", allowed=_MOST_INPUTS)
    for given in models:
        model_id = required("model_id", given.model_id)
        notes.check_key("model", model_id)
        row = session.get(RunModel, (run.id, model_id, role))
        if row is None:
            row = RunModel(tenant=run.tenant, run_id=run.id, model_id=model_id, role=role)
            session.add(row)
        row.step = given.step if abs(given.step) < _LARGEST_TIME else 0
        session.flush()


def _add_dataset(session: Session, run: Run, given: DatasetInput) -> None:
    said, tags = given.dataset, notes_of(given.tags)
    notes.check("tag of a data set", tags, external_runs.LONGEST_TAG)
    for text in (said.name, said.digest, said.source_type, said.source, said.schema, said.profile):
        notes.check_text("the description of a data set", text or "")
    key = run.id, required("name", said.name), required("digest", said.digest)
    row = session.get(RunDataset, key)
    if row is None:
        row = RunDataset(tenant=run.tenant, run_id=run.id, name=said.name, digest=said.digest, tags={})
        session.add(row)
    row.source_type, row.source = said.source_type, said.source
    row.schema, row.profile = said.schema, said.profile
    row.context = tags.pop(CONTEXT_TAG, row.context)
    row.tags = dict(row.tags) | tags
    session.flush()


def _operation(method: str, name: str, asked: type[Asked], answer: Any) -> Operation:
    return Operation(method=method, path=f"/runs/{name}", asked=asked, answer=answer)


OPERATIONS: Final = (
    _operation("POST", "create", Create, _create),
    _operation("GET", "get", One, _get),
    _operation("POST", "update", Update, _update),
    _operation("POST", "delete", One, _delete),
    _operation("POST", "restore", One, _restore),
    _operation("POST", "log-parameter", KeyValue, _log_parameter),
    _operation("POST", "set-tag", KeyValue, _set_tag),
    _operation("POST", "delete-tag", KeyValue, _delete_tag),
    _operation("POST", "log-inputs", LogInputs, _log_inputs),
    _operation("POST", "outputs", LogInputs, _log_outputs),
)
