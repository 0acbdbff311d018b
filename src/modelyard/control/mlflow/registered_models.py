"""Registered models on MLflow's wire: names, descriptions, tags and aliases."""

from typing import Any, ClassVar, Final

from sqlalchemy import Select, delete, select

from modelyard.control.mlflow import registration, registry, search
from modelyard.control.mlflow.names import check_alias, check_registered, marked_name, platform_name
from modelyard.control.mlflow.registry import MODEL_TAG, VERSION_TAG, get_model, get_version
from modelyard.control.mlflow.search import Attribute, PageAsked, Searchable
from modelyard.control.mlflow.wire import (
    AlreadyExists,
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
from modelyard.types.ids import new_id

LONGEST_TAG: Final = 100_000
LONGEST_DESCRIPTION: Final = 5000


class Create(Asked, frozen=True, kw_only=True):
    name: str = ""
    tags: tuple[Pair, ...] = ()
    description: str = ""


class One(Asked, frozen=True, kw_only=True):
    name: str = ""


class Update(One, frozen=True, kw_only=True):
    description: str = ""


class Rename(One, frozen=True, kw_only=True):
    new_name: str = ""


class Tag(One, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""


class Alias(One, frozen=True, kw_only=True):
    alias: str = ""
    version: str | int = ""


class Latest(One, frozen=True, kw_only=True):
    LISTS: ClassVar[frozenset[str]] = frozenset({"stages"})
    stages: tuple[str, ...] = ()


class Search(Asked, frozen=True, kw_only=True):
    LISTS: ClassVar[frozenset[str]] = frozenset({"order_by"})
    filter: str = ""
    max_results: int | None = None
    order_by: tuple[str, ...] = ()
    page_token: str | None = None


def check_description(text: str) -> str:
    """Raises InvalidInput."""
    if len(text) > LONGEST_DESCRIPTION:
        raise InvalidInput("the description is too long", came=f"{len(text)} characters",
                           allowed=LONGEST_DESCRIPTION)  # fmt: skip
    notes.check_text("the description", text)
    return text


def _create(platform: Platform, tenant: str, asked: Create) -> dict[str, Any]:
    name, tags = check_registered(required("name", asked.name)), notes_of(asked.tags)
    notes.check("tag", tags, LONGEST_TAG)
    with platform.database.write() as session:
        mine = select(RegisteredModel).where(RegisteredModel.tenant == tenant)
        if session.scalar(mine.where(RegisteredModel.name == name)) is not None:
            raise AlreadyExists(f"Registered Model (name={name}) already exists.")
        now, model_id = now_ms(platform), new_id("registered")
        model = platform_name(name)
        if session.scalar(mine.where(RegisteredModel.model == model)) is not None:
            model = marked_name(name, model_id)  # the one who has it was renamed
        row = RegisteredModel(
            tenant=tenant, id=model_id, name=name, model=model, description=check_description(asked.description),
            next_version=1, created_ms=now, updated_ms=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        notes.put(session, tenant, MODEL_TAG, model_id, tags)
        return {"registered_model": registry.model_view(session, row)}


def _get(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    registration.settle(platform, tenant)
    with platform.database.read() as session:
        row = get_model(session, tenant, required("name", asked.name))
        return {"registered_model": registry.model_view(session, row)}


def _rename(platform: Platform, tenant: str, asked: Rename) -> dict[str, Any]:
    """The platform's name of the model stays as it is."""
    new = check_registered(required("new_name", asked.new_name))
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        taken = select(RegisteredModel).where(RegisteredModel.tenant == tenant, RegisteredModel.name == new)
        if new != row.name and session.scalar(taken) is not None:
            raise AlreadyExists(f"Registered Model (name={new}) already exists.")
        row.name, row.updated_ms = new, now_ms(platform)
        session.flush()
        return {"registered_model": registry.model_view(session, row)}


def _update(platform: Platform, tenant: str, asked: Update) -> dict[str, Any]:
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        row.description, row.updated_ms = check_description(asked.description), now_ms(platform)
        return {"registered_model": registry.model_view(session, row)}


def _delete(platform: Platform, tenant: str, asked: One) -> dict[str, Any]:
    """With its versions, here too. Raises Conflict where one of them serves."""
    with platform.database.read() as session:
        row = get_model(session, tenant, asked.name)
        versions = list(registry.versions_of(session, row))
    registration.delete_versions(platform, tenant, versions)
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        for version in registry.versions_of(session, row):
            notes.remove(session, tenant, VERSION_TAG, registry.owner_of(version))
        notes.remove(session, tenant, MODEL_TAG, row.id)
        for table in (RegisteredAlias, RegisteredVersion):
            session.execute(delete(table).where(table.registered_id == row.id))
        session.delete(row)
    return {}


def _set_tag(platform: Platform, tenant: str, asked: Tag) -> dict[str, Any]:
    notes.check("tag", {asked.key: asked.value}, LONGEST_TAG)
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        notes.put(session, tenant, MODEL_TAG, row.id, {asked.key: asked.value})
    return {}


def _delete_tag(platform: Platform, tenant: str, asked: Tag) -> dict[str, Any]:
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        notes.remove(session, tenant, MODEL_TAG, row.id, required("key", asked.key))
    return {}


def _set_alias(platform: Platform, tenant: str, asked: Alias) -> dict[str, Any]:
    check_alias(required("alias", asked.alias))
    registration.settle(platform, tenant)
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        version = get_version(session, row, required("version", str(asked.version)))
        there = session.get(RegisteredAlias, (row.id, asked.alias))
        if there is None:
            there = RegisteredAlias(tenant=tenant, registered_id=row.id, alias=asked.alias)
            session.add(there)
        there.number = version.number
        registration.mirror_alias(session, asked.alias, version, platform.now())
    return {}


def _delete_alias(platform: Platform, tenant: str, asked: Alias) -> dict[str, Any]:
    with platform.database.write() as session:
        row = get_model(session, tenant, asked.name)
        there = session.get(RegisteredAlias, (row.id, asked.alias))
        if there is not None:
            registration.forget_alias(session, row, there)
            session.delete(there)
    return {}


def _get_by_alias(platform: Platform, tenant: str, asked: Alias) -> dict[str, Any]:
    registration.settle(platform, tenant)
    with platform.database.read() as session:
        row = get_model(session, tenant, asked.name)
        there = session.get(RegisteredAlias, (row.id, required("alias", asked.alias)))
        if there is None:
            raise InvalidInput(f"Registered model alias {asked.alias[:200]} not found.")
        version = get_version(session, row, str(there.number))
        return {"model_version": registry.version_view(session, row, version)}


def _latest(platform: Platform, tenant: str, asked: Latest) -> dict[str, Any]:
    registration.settle(platform, tenant)
    with platform.database.read() as session:
        row = get_model(session, tenant, asked.name)
        found = registry.latest_of(session, row, asked.stages)
        return filled(model_versions=[registry.version_view(session, row, version) for version in found])


def _search(platform: Platform, tenant: str, asked: Search) -> dict[str, Any]:
    registration.settle(platform, tenant)
    noun = _searchable(tenant)
    limit = limit_of(asked.max_results, 100, 1000)
    page = PageAsked(limit=limit, token=asked.page_token, secret=platform.secret)
    query: Select[Any] = select(RegisteredModel).where(
        RegisteredModel.tenant == tenant, *search.where(noun, asked.filter)
    )
    with platform.database.read() as session:
        rows, token = search.fetch(session, query.order_by(*search.order(noun, asked.order_by)), page)
        found = [registry.model_view(session, row[0]) for row in rows]
    return filled(registered_models=found, next_page_token=token)


def _searchable(tenant: str) -> Searchable:
    updated = Attribute(column=RegisteredModel.updated_ms.expression, kind="number")
    return Searchable(
        tenant=tenant,
        attributes={
            "name": Attribute(column=RegisteredModel.name.expression),
            "timestamp": updated,
            "last_updated_timestamp": updated,
            "creation_timestamp": Attribute(column=RegisteredModel.created_ms.expression, kind="number"),
        },
        owner=RegisteredModel.id.expression,
        notes={"tag": MODEL_TAG},
        last=(RegisteredModel.name,),
    )


_PATH: Final = "/registered-models"
OPERATIONS: Final = (
    Operation(method="POST", path=f"{_PATH}/create", asked=Create, answer=_create),
    Operation(method="GET", path=f"{_PATH}/get", asked=One, answer=_get),
    Operation(method="POST", path=f"{_PATH}/rename", asked=Rename, answer=_rename),
    Operation(method="PATCH", path=f"{_PATH}/update", asked=Update, answer=_update),
    Operation(method="DELETE", path=f"{_PATH}/delete", asked=One, answer=_delete),
    Operation(method="GET", path=f"{_PATH}/search", asked=Search, answer=_search),
    Operation(method="GET", path=f"{_PATH}/get-latest-versions", asked=Latest, answer=_latest),
    Operation(method="POST", path=f"{_PATH}/get-latest-versions", asked=Latest, answer=_latest),
    Operation(method="POST", path=f"{_PATH}/set-tag", asked=Tag, answer=_set_tag),
    Operation(method="DELETE", path=f"{_PATH}/delete-tag", asked=Tag, answer=_delete_tag),
    Operation(method="POST", path=f"{_PATH}/alias", asked=Alias, answer=_set_alias),
    Operation(method="DELETE", path=f"{_PATH}/alias", asked=Alias, answer=_delete_alias),
    Operation(method="GET", path=f"{_PATH}/alias", asked=Alias, answer=_get_by_alias),
)
