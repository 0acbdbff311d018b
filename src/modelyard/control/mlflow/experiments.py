"""Experiments on MLflow's wire."""

from typing import Any, ClassVar, Final

from sqlalchemy import ColumnElement, Select, String, cast, select
from sqlalchemy.orm import Session

from modelyard.control.mlflow import search
from modelyard.control.mlflow.search import Attribute, PageAsked, Searchable
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
from modelyard.control.services import experiments, notes
from modelyard.control.services.experiments import now_ms
from modelyard.errors import NotFound
from modelyard.store.tracking import ACTIVE, DELETED, Experiment

TAG: Final = "experiment.tag"
_LONGEST_TAG: Final = 20_000
_VIEWS: Final = {"ACTIVE_ONLY": (ACTIVE,), "DELETED_ONLY": (DELETED,), "ALL": (ACTIVE, DELETED)}


class Create(Asked, frozen=True, kw_only=True):
    name: str = ""
    tags: tuple[Pair, ...] = ()


class One(Asked, frozen=True, kw_only=True):
    experiment_id: str = ""


class ByName(Asked, frozen=True, kw_only=True):
    experiment_name: str = ""


class Update(One, frozen=True, kw_only=True):
    new_name: str = ""


class Tag(One, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""


class Search(Asked, frozen=True, kw_only=True):
    LISTS: ClassVar[frozenset[str]] = frozenset({"order_by"})
    max_results: int | None = None
    page_token: str | None = None
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view_type: str = "ACTIVE_ONLY"


def states_of(view: str) -> tuple[str, ...]:
    """What a list of this view shows; what is unknown is the active ones, as protobuf's default."""
    return _VIEWS.get(view, (ACTIVE,))


def _create(platform: Platform, tenant: str, asked: Create) -> dict[str, Any]:
    given = notes_of(asked.tags)
    notes.check("tag", given, _LONGEST_TAG)
    with platform.database.write() as session:
        row = experiments.create(session, tenant, required("name", asked.name), now_ms(platform))
        notes.put(session, tenant, TAG, str(row.number), given)
    return {"experiment_id": str(row.number)}


def _get(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    _ensure(platform, tenant)
    with platform.database.read() as session:
        row = experiments.get(session, tenant, required("experiment_id", asked.experiment_id))
        return {"experiment": _views(session, tenant, [row])[0]}


def _get_by_name(platform: Platform, tenant: str, asked: ByName) -> dict[str, Any]:
    _ensure(platform, tenant)
    with platform.database.read() as session:
        row = experiments.find(session, tenant, required("experiment_name", asked.experiment_name))
        if row is None:
            raise NotFound(f"Could not find experiment with name {asked.experiment_name[:200]!r}")
        return {"experiment": _views(session, tenant, [row])[0]}


def _update(platform: Platform, tenant: str, asked: Update) -> dict[str, Any]:
    with platform.database.write() as session:
        row = experiments.get(session, tenant, asked.experiment_id)
        experiments.rename(session, row, required("new_name", asked.new_name), now_ms(platform))
    return {}


def _delete(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.write() as session:
        experiments.put_away(experiments.get(session, tenant, asked.experiment_id), True, now_ms(platform))
    return {}


def _restore(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.write() as session:
        experiments.put_away(experiments.get(session, tenant, asked.experiment_id), False, now_ms(platform))
    return {}


def _set_tag(platform: Platform, tenant: str, asked: Tag) -> dict[str, Any]:
    notes.check("tag", {asked.key: asked.value}, _LONGEST_TAG)
    with platform.database.write() as session:
        row = experiments.check_active(experiments.get(session, tenant, asked.experiment_id))
        notes.put(session, tenant, TAG, str(row.number), {asked.key: asked.value})
    return {}


def _delete_tag(platform: Platform, tenant: str, asked: Tag) -> dict[str, Any]:
    with platform.database.write() as session:
        row = experiments.get(session, tenant, asked.experiment_id)
        if not notes.remove(session, tenant, TAG, str(row.number), required("key", asked.key)):
            raise NotFound(f"No tag with name: {asked.key[:200]} in experiment {row.number}")
    return {}


def _search(platform: Platform, tenant: str, asked: Search) -> dict[str, Any]:
    _ensure(platform, tenant)
    noun = _searchable(tenant)
    page = PageAsked(limit=limit_of(asked.max_results, 1000), token=asked.page_token, secret=platform.secret)
    query: Select[Any] = select(Experiment).where(
        Experiment.tenant == tenant,
        Experiment.state.in_(states_of(asked.view_type)),
        *search.where(noun, asked.filter),
    )
    with platform.database.read() as session:
        rows, token = search.fetch(session, query.order_by(*search.order(noun, asked.order_by)), page)
        views = _views(session, tenant, [row[0] for row in rows])
    return filled(experiments=views, next_page_token=token)


def _searchable(tenant: str) -> Searchable:
    created: ColumnElement[int] = Experiment.created_ms.expression
    return Searchable(
        tenant=tenant,
        attributes={
            "name": Attribute(column=Experiment.name.expression),
            "experiment_id": Attribute(column=cast(Experiment.number, String)),
            "creation_time": Attribute(column=created, kind="number"),
            "last_update_time": Attribute(column=Experiment.updated_ms.expression, kind="number"),
        },
        owner=cast(Experiment.number, String),
        notes={"tag": TAG},
        last=(created.desc(), Experiment.number.desc()),
    )


def _views(session: Session, tenant: str, rows: list[Experiment]) -> list[dict[str, Any]]:
    tags = notes.read(session, tenant, TAG, [str(row.number) for row in rows])
    return [
        filled(
            experiment_id=str(row.number),
            name=row.name,
            artifact_location=f"mlflow-artifacts:/{row.number}",
            lifecycle_stage=row.state,
            creation_time=row.created_ms,
            last_update_time=row.updated_ms,
            tags=pairs(tags[str(row.number)]),
        )
        for row in rows
    ]


def _ensure(platform: Platform, tenant: str) -> None:
    with platform.database.read() as session:
        there = session.get(Experiment, (tenant, 0)) is not None
    if not there:
        with platform.database.write() as session:
            experiments.ensure_default(session, tenant, now_ms(platform))


def _operation(method: str, name: str, asked: type[Asked], answer: Any) -> Operation:
    return Operation(method=method, path=f"/experiments/{name}", asked=asked, answer=answer)


OPERATIONS: Final = (
    _operation("POST", "create", Create, _create),
    _operation("GET", "get", One, _get),
    _operation("GET", "get-by-name", ByName, _get_by_name),
    _operation("POST", "update", Update, _update),
    _operation("POST", "delete", One, _delete),
    _operation("POST", "restore", One, _restore),
    _operation("POST", "set-experiment-tag", Tag, _set_tag),
    _operation("POST", "delete-experiment-tag", Tag, _delete_tag),
    _operation("POST", "search", Search, _search),
    _operation("GET", "search", Search, _search),
)
