"""Versions of registered models on MLflow's wire."""

from typing import Any, ClassVar, Final

from sqlalchemy import Select, String, cast, delete, select
from sqlalchemy.orm import Session

from modelyard.control.mlflow import registration, registry, search, sources
from modelyard.control.mlflow.registered_models import LONGEST_TAG, check_description
from modelyard.control.mlflow.registry import READY, STAGES, VERSION_TAG, get_model, get_version, owner_of
from modelyard.control.mlflow.search import Attribute, PageAsked, Searchable
from modelyard.control.mlflow.wire import (
    Asked,
    Operation,
    Pair,
    filled,
    limit_of,
    notes_of,
    required,
)
from modelyard.control.platform import Platform
from modelyard.control.services import notes
from modelyard.control.services.experiments import now_ms
from modelyard.errors import InvalidInput
from modelyard.store.tracking import RegisteredAlias, RegisteredModel, RegisteredVersion

_LONGEST_URI: Final = 2000
_MOST_RESULTS: Final = 200_000


class Create(Asked, frozen=True, kw_only=True):
    name: str = ""
    source: str = ""
    run_id: str = ""
    model_id: str = ""
    tags: tuple[Pair, ...] = ()
    run_link: str = ""
    description: str = ""


class One(Asked, frozen=True, kw_only=True):
    name: str = ""
    version: str | int = ""

    def find(self, session: Session, tenant: str) -> tuple[RegisteredModel, RegisteredVersion]:
        """Raises NotFound."""
        model = get_model(session, tenant, required("name", self.name))
        return model, get_version(session, model, required("version", str(self.version)))


class Update(One, frozen=True, kw_only=True):
    description: str = ""


class Stage(One, frozen=True, kw_only=True):
    stage: str = ""
    archive_existing_versions: bool = False


class Tag(One, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""


class Search(Asked, frozen=True, kw_only=True):
    LISTS: ClassVar[frozenset[str]] = frozenset({"order_by"})
    filter: str = ""
    max_results: int | None = None
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


def _create(platform: Platform, tenant: str, asked: Create) -> dict[str, Any]:
    tags = notes_of(asked.tags)
    notes.check("tag", tags, LONGEST_TAG)
    for text in (asked.run_link, asked.source):
        notes.check_text("an address", text)
        if len(text) > _LONGEST_URI:
            raise InvalidInput("an address is too long", came=f"{len(text)} characters", allowed=_LONGEST_URI)
    with platform.database.write() as session:
        model = get_model(session, tenant, required("name", asked.name))
        source = sources.resolve(session, tenant, required("source", asked.source))
        now, number = now_ms(platform), model.next_version
        model.next_version, model.updated_ms = number + 1, now
        row = RegisteredVersion(
            tenant=tenant, registered_id=model.id, number=number, source=asked.source, location=source.location,
            run_id=source.run_id, logged_id=source.logged_id, run_link=asked.run_link, user="",
            description=check_description(asked.description), stage=STAGES[0], status=READY, status_message="",
            created_ms=now, updated_ms=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        registration.begin(platform, session, model, row, source)
        notes.put(session, tenant, VERSION_TAG, owner_of(row), tags)
        said = {"model_version": registry.version_view(session, model, row)}
    platform.changes.tell()
    return said


def _get(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    registration.settle(platform, tenant)
    with platform.database.read() as session:
        return {"model_version": registry.version_view(session, *asked.find(session, tenant))}


def _update(platform: Platform, tenant: str, asked: Update) -> dict[str, Any]:
    with platform.database.write() as session:
        model, row = asked.find(session, tenant)
        row.description, row.updated_ms = check_description(asked.description), now_ms(platform)
        model.updated_ms = row.updated_ms
        return {"model_version": registry.version_view(session, model, row)}


def _transition(platform: Platform, tenant: str, asked: Stage) -> dict[str, Any]:
    named = {stage.lower(): stage for stage in STAGES}
    stage = named.get(asked.stage.lower())
    if stage is None:
        raise InvalidInput("Invalid Model Version stage", came=asked.stage, allowed=STAGES)
    with platform.database.write() as session:
        model, row = asked.find(session, tenant)
        now = now_ms(platform)
        if asked.archive_existing_versions:
            if stage not in STAGES[1:3]:
                raise InvalidInput(
                    "versions are archived for a stage that serves", came=stage, allowed=STAGES[1:3]
                )
            for other in registry.versions_of(session, model):
                if other.stage == stage and other.number != row.number:
                    other.stage, other.updated_ms = STAGES[3], now
        row.stage, row.updated_ms, model.updated_ms = stage, now, now
        session.flush()
        return {"model_version": registry.version_view(session, model, row)}


def _delete(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    """Here too. Raises Conflict where it serves."""
    with platform.database.read() as session:
        _, row = asked.find(session, tenant)
    registration.delete_versions(platform, tenant, [row])
    with platform.database.write() as session:
        model, row = asked.find(session, tenant)
        notes.remove(session, tenant, VERSION_TAG, owner_of(row))
        mine = RegisteredAlias.registered_id == model.id, RegisteredAlias.number == row.number
        session.execute(delete(RegisteredAlias).where(*mine))
        session.delete(row)
        model.updated_ms = now_ms(platform)
    return {}


def _download_uri(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    with platform.database.read() as session:
        return {"artifact_uri": asked.find(session, tenant)[1].location}


def _set_tag(platform: Platform, tenant: str, asked: Tag) -> dict[str, Any]:
    notes.check("tag", {asked.key: asked.value}, LONGEST_TAG)
    with platform.database.write() as session:
        _, row = asked.find(session, tenant)
        notes.put(session, tenant, VERSION_TAG, owner_of(row), {asked.key: asked.value})
    return {}


def _delete_tag(platform: Platform, tenant: str, asked: Tag) -> dict[str, Any]:
    with platform.database.write() as session:
        _, row = asked.find(session, tenant)
        notes.remove(session, tenant, VERSION_TAG, owner_of(row), required("key", asked.key))
    return {}


def _search(platform: Platform, tenant: str, asked: Search) -> dict[str, Any]:
    registration.settle(platform, tenant)
    noun = _searchable(tenant)
    limit = limit_of(asked.max_results, 10_000, _MOST_RESULTS)
    page = PageAsked(limit=limit, token=asked.page_token, secret=platform.secret)
    query: Select[Any, Any] = (
        select(RegisteredModel, RegisteredVersion)
        .join(RegisteredVersion, RegisteredVersion.registered_id == RegisteredModel.id)
        .where(RegisteredModel.tenant == tenant, *search.where(noun, asked.filter))
    )
    with platform.database.read() as session:
        rows, token = search.fetch(session, query.order_by(*search.order(noun, asked.order_by)), page)
        found = [registry.version_view(session, model, row) for model, row in rows]
    return filled(model_versions=found, next_page_token=token)


def _searchable(tenant: str) -> Searchable:
    number = Attribute(column=RegisteredVersion.number.expression, kind="number")
    return Searchable(
        tenant=tenant,
        attributes={
            "name": Attribute(column=RegisteredModel.name.expression),
            "version_number": number,
            "version": number,
            "run_id": Attribute(column=RegisteredVersion.run_id.expression),
            "source_path": Attribute(column=RegisteredVersion.source.expression),
            "source": Attribute(column=RegisteredVersion.source.expression),
            "model_id": Attribute(column=RegisteredVersion.logged_id.expression),
            "creation_timestamp": Attribute(column=RegisteredVersion.created_ms.expression, kind="number"),
            "last_updated_timestamp": Attribute(
                column=RegisteredVersion.updated_ms.expression, kind="number"
            ),
        },
        owner=RegisteredVersion.registered_id + "/" + cast(RegisteredVersion.number, String),
        notes={"tag": VERSION_TAG},
        last=(RegisteredVersion.updated_ms.desc(), RegisteredModel.name, RegisteredVersion.number.desc()),
    )


_PATH: Final = "/model-versions"
OPERATIONS: Final = (
    Operation(method="POST", path=f"{_PATH}/create", asked=Create, answer=_create),
    Operation(method="GET", path=f"{_PATH}/get", asked=One, answer=_get),
    Operation(method="PATCH", path=f"{_PATH}/update", asked=Update, answer=_update),
    Operation(method="DELETE", path=f"{_PATH}/delete", asked=One, answer=_delete),
    Operation(method="GET", path=f"{_PATH}/search", asked=Search, answer=_search),
    Operation(method="GET", path=f"{_PATH}/get-download-uri", asked=One, answer=_download_uri),
    Operation(method="POST", path=f"{_PATH}/transition-stage", asked=Stage, answer=_transition),
    Operation(method="POST", path=f"{_PATH}/set-tag", asked=Tag, answer=_set_tag),
    Operation(method="DELETE", path=f"{_PATH}/delete-tag", asked=Tag, answer=_delete_tag),
)
