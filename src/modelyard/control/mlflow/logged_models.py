"""Logged models on MLflow's wire."""

import secrets
from typing import Any, ClassVar, Final

from sqlalchemy import Select, and_, delete, select
from sqlalchemy.orm import Session, aliased

from modelyard.control.mlflow import run_views, search
from modelyard.control.mlflow.run_search import experiment_numbers
from modelyard.control.mlflow.search import Attribute, MetricSource, PageAsked, Searchable
from modelyard.control.mlflow.wire import (
    Asked,
    Operation,
    Pair,
    filled,
    limit_of,
    notes_of,
    pairs,
    required,
)
from modelyard.control.platform import Platform
from modelyard.control.services import artifacts, experiments, external_runs, notes
from modelyard.control.services.experiments import now_ms
from modelyard.errors import InvalidInput, NotFound
from modelyard.store.links import unlink
from modelyard.store.tracking import ACTIVE, DELETED, LoggedFile, LoggedModel, MetricPoint

TAG, PARAM = "logged.tag", "logged.param"
STATUSES: Final = ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED")
_SHORT: Final = {"PENDING": STATUSES[0], "READY": STATUSES[1], "FAILED": STATUSES[2]}
_LONGEST_NAME: Final = 255
_LONGEST_NOTE: Final = 8000
_SHOWN_METRICS: Final = 1000


class Create(Asked, frozen=True, kw_only=True):
    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class One(Asked, frozen=True, kw_only=True):
    model_id: str = ""


class Finalize(One, frozen=True, kw_only=True):
    status: str = ""


class Tags(One, frozen=True, kw_only=True):
    tags: tuple[Pair, ...] = ()


class Params(One, frozen=True, kw_only=True):
    params: tuple[Pair, ...] = ()


class TagKey(One, frozen=True, kw_only=True):
    tag_key: str = ""


class Files(One, frozen=True, kw_only=True):
    artifact_directory_path: str = ""


class OrderBy(Asked, frozen=True, kw_only=True):
    field_name: str = ""
    ascending: bool = True
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Search(Asked, frozen=True, kw_only=True):
    LISTS: ClassVar[frozenset[str]] = frozenset({"experiment_ids"})
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    max_results: int | None = None
    order_by: tuple[OrderBy, ...] = ()
    page_token: str | None = None


def get(session: Session, tenant: str, model_id: str) -> LoggedModel:
    """Raises NotFound."""
    row = session.get(LoggedModel, model_id) if len(model_id) < 100 else None
    if row is None or row.tenant != tenant or row.state != ACTIVE:
        raise NotFound(f"Logged model with ID {model_id[:80]!r} not found.")
    return row


def artifact_uri(row: LoggedModel) -> str:
    return f"mlflow-artifacts:/{row.experiment}/models/{row.id}/artifacts"


def _create(platform: Platform, tenant: str, asked: Create) -> dict[str, Any]:
    _check_name(asked.name)
    params, tags = notes_of(asked.params), notes_of(asked.tags)
    for what, given in (("parameter", params), ("tag", tags)):
        notes.check(what, given, _LONGEST_NOTE)
    notes.check_text("model_type", asked.model_type)
    with platform.database.write() as session:
        experiment = experiments.check_active(experiments.get(session, tenant, asked.experiment_id or "0"))
        if asked.source_run_id:
            external_runs.get_external(session, tenant, asked.source_run_id)
        now, model_id = now_ms(platform), f"m-{secrets.token_hex(16)}"
        row = LoggedModel(
            tenant=tenant, id=model_id, experiment=experiment.number, name=asked.name or model_id,
            run_id=asked.source_run_id or None, model_type=asked.model_type[:_LONGEST_NAME], status=STATUSES[0],
            status_message="", state=ACTIVE, created_ms=now, updated_ms=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        notes.put(session, tenant, PARAM, model_id, params)
        notes.put(session, tenant, TAG, model_id, tags)
        return _one(session, row)


def _get(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        return _one(session, get(session, tenant, asked.model_id))


def _finalize(platform: Platform, tenant: str, asked: Finalize) -> dict[str, Any]:
    status = _SHORT.get(asked.status, asked.status)
    if status not in STATUSES:
        raise InvalidInput("the status of a logged model", came=asked.status, allowed=STATUSES)
    with platform.database.write() as session:
        row = get(session, tenant, asked.model_id)
        row.status, row.updated_ms = status, now_ms(platform)
        return _one(session, row)


def _delete(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    """Its files go; what was registered of it has its own."""
    with platform.database.write() as session:
        row = get(session, tenant, asked.model_id)
        row.state, row.updated_ms = DELETED, now_ms(platform)
        session.execute(delete(LoggedFile).where(LoggedFile.model_id == row.id))
        unlink(session, tenant, artifacts.shelf_of(row).link_owner)
    return {}


def _set_tags(platform: Platform, tenant: str, asked: Tags) -> dict[str, Any]:
    tags = notes_of(asked.tags)
    notes.check("tag", tags, _LONGEST_NOTE)
    with platform.database.write() as session:
        row = get(session, tenant, asked.model_id)
        notes.put(session, tenant, TAG, row.id, tags)
        row.updated_ms = now_ms(platform)
    return {}


def _delete_tag(platform: Platform, tenant: str, asked: TagKey) -> dict[str, Any]:
    with platform.database.write() as session:
        row = get(session, tenant, asked.model_id)
        if not notes.remove(session, tenant, TAG, row.id, required("tag_key", asked.tag_key)):
            raise NotFound(f"No tag with key {asked.tag_key[:200]!r} found for model with ID {row.id!r}.")
    return {}


def _log_params(platform: Platform, tenant: str, asked: Params) -> dict[str, Any]:
    params = notes_of(asked.params)
    notes.check("parameter", params, _LONGEST_NOTE)
    with platform.database.write() as session:
        notes.put(session, tenant, PARAM, get(session, tenant, asked.model_id).id, params)
    return {}


def _list_files(platform: Platform, tenant: str, asked: Files) -> dict[str, Any]:
    folder = asked.artifact_directory_path.strip("/")
    with platform.database.read() as session:
        row = get(session, tenant, asked.model_id)
        found = artifacts.listing(session, artifacts.shelf_of(row), folder)
    files = [filled(path=f.path, is_dir=f.is_dir, file_size=f.size) for f in found]
    return filled(root_uri=artifact_uri(row), files=files)


def _search(platform: Platform, tenant: str, asked: Search) -> dict[str, Any]:
    noun = searchable(tenant)
    page = PageAsked(limit=limit_of(asked.max_results, 50), token=asked.page_token, secret=platform.secret)
    orders = [f"{o.field_name} {'ASC' if o.ascending else 'DESC'}" for o in asked.order_by]
    query: Select[Any] = select(LoggedModel).where(
        LoggedModel.tenant == tenant,
        LoggedModel.experiment.in_(experiment_numbers(asked.experiment_ids)),
        LoggedModel.state == ACTIVE,
        *search.where(noun, _long_statuses(asked.filter)),
    )
    with platform.database.read() as session:
        rows, token = search.fetch(session, query.order_by(*search.order(noun, orders)), page)
        models = [_view(session, row[0]) for row in rows]
    return filled(models=models, next_page_token=token)


def _long_statuses(text: str) -> str:
    """Filters say 'READY' where the wire says LOGGED_MODEL_READY."""
    for short, status in _SHORT.items():
        text = text.replace(f"'{short}'", f"'{status}'") if "status" in text else text
    return text


def searchable(tenant: str) -> Searchable:
    """What filters of logged models may name."""
    created = Attribute(column=LoggedModel.created_ms.expression, kind="number")
    updated = Attribute(column=LoggedModel.updated_ms.expression, kind="number")
    return Searchable(
        tenant=tenant,
        attributes={
            "name": Attribute(column=LoggedModel.name.expression),
            "model_id": Attribute(column=LoggedModel.id.expression),
            "model_type": Attribute(column=LoggedModel.model_type.expression),
            "status": Attribute(column=LoggedModel.status.expression),
            "source_run_id": Attribute(column=LoggedModel.run_id.expression),
            "creation_timestamp": created,
            "creation_time": created,
            "creation_timestamp_ms": created,
            "last_updated_timestamp": updated,
            "last_updated_timestamp_ms": updated,
        },
        owner=LoggedModel.id.expression,
        notes={"tag": TAG, "param": PARAM},
        metric=_metric,
        last=(LoggedModel.created_ms.desc(), LoggedModel.id),
    )


def _metric(name: str) -> MetricSource:
    """The newest point of the metric that belongs to the model."""
    later = aliased(MetricPoint)
    newer = (
        select(later.run_id)
        .where(
            later.model_id == MetricPoint.model_id,
            later.name == name,
            (later.step > MetricPoint.step)
            | ((later.step == MetricPoint.step) & (later.time_ms > MetricPoint.time_ms)),
        )
        .exists()
    )
    return MetricSource(
        value=MetricPoint.value.expression,
        nan=MetricPoint.nan.expression,
        mine=and_(MetricPoint.model_id == LoggedModel.id, MetricPoint.name == name, ~newer),
    )


def _one(session: Session, row: LoggedModel) -> dict[str, Any]:
    return {"model": _view(session, row)}


def _view(session: Session, row: LoggedModel) -> dict[str, Any]:
    query = select(MetricPoint).where(MetricPoint.model_id == row.id)
    points = session.scalars(query.order_by(MetricPoint.time_ms.desc()).limit(_SHOWN_METRICS)).all()
    metrics = [run_views.metric(p) | {"run_id": p.run_id} for p in reversed(points)]
    tags, params = (notes.read_one(session, row.tenant, kind, row.id) for kind in (TAG, PARAM))
    return {
        "info": filled(
            model_id=row.id,
            experiment_id=str(row.experiment),
            name=row.name,
            creation_timestamp_ms=row.created_ms,
            last_updated_timestamp_ms=row.updated_ms,
            artifact_uri=artifact_uri(row),
            status=row.status,
            status_message=row.status_message or None,
            model_type=row.model_type,
            source_run_id=row.run_id,
            tags=pairs(tags),
        ),
        "data": filled(params=pairs(params), metrics=metrics),
    }


def _check_name(name: str) -> None:
    if len(name) > _LONGEST_NAME or any(c in name for c in "/:.%\"'"):
        raise InvalidInput("Invalid model name", came=name, allowed="text without / : . % \" '")
    notes.check_text("the name of a logged model", name)


_PATH: Final = "/logged-models"
OPERATIONS: Final = (
    Operation(method="POST", path=_PATH, asked=Create, answer=_create),
    Operation(method="POST", path=f"{_PATH}/search", asked=Search, answer=_search),
    Operation(method="GET", path=f"{_PATH}/{{model_id}}", asked=One, answer=_get),
    Operation(method="PATCH", path=f"{_PATH}/{{model_id}}", asked=Finalize, answer=_finalize),
    Operation(method="DELETE", path=f"{_PATH}/{{model_id}}", asked=One, answer=_delete),
    Operation(method="PATCH", path=f"{_PATH}/{{model_id}}/tags", asked=Tags, answer=_set_tags),
    Operation(
        method="DELETE", path=f"{_PATH}/{{model_id}}/tags/{{tag_key}}", asked=TagKey, answer=_delete_tag
    ),
    Operation(method="POST", path=f"{_PATH}/{{model_id}}/params", asked=Params, answer=_log_params),
    Operation(
        method="GET", path=f"{_PATH}/{{model_id}}/artifacts/directories", asked=Files, answer=_list_files
    ),
)
