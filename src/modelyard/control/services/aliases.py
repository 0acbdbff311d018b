"""Aliases: names such as @champion that move from version to version."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.names import check_name, known_name, read_selector
from modelyard.control.services.references import get_model, get_model_version
from modelyard.errors import Conflict, InvalidInput, NotFound
from modelyard.store.registry import Alias, Model, ModelVersion


def put(platform: Platform, tenant: str, name: str, alias: str, version: str) -> int:
    """Let `alias` mean `version`; returns its number. Raises NotFound and InvalidInput."""
    if alias == "latest":
        raise InvalidInput("the alias 'latest' is always the newest version", came=alias)
    check_name("alias", alias)
    with platform.database.write() as session:
        model = get_model(session, tenant, name)
        row = get_model_version(session, model, read_selector(version))
        there = session.get(Alias, (model.id, alias))
        if there is None:
            there = Alias(tenant=tenant, model_id=model.id, name=alias, version_id=row.id, updated_at=0.0)
            session.add(there)
        there.version_id, there.updated_at = row.id, platform.now()
        return row.number


def delete(platform: Platform, tenant: str, name: str, alias: str) -> None:
    """Raises NotFound."""
    with platform.database.write() as session:
        model = get_model(session, tenant, name)
        row = session.get(Alias, (model.id, known_name("alias", alias)))
        if row is None:
            raise NotFound(f"the model {name!r} has no alias {alias!r}")
        session.delete(row)


def aliases_of(session: Session, model: Model) -> dict[str, int]:
    """Alias -> number of its version."""
    query = select(Alias.name, ModelVersion.number).join(ModelVersion, Alias.version_id == ModelVersion.id)
    rows = session.execute(query.where(Alias.model_id == model.id).order_by(Alias.name))
    return {name: number for name, number in rows}


def check_no_alias(session: Session, version: ModelVersion) -> None:
    """Raises Conflict where an alias means this version."""
    name = session.scalar(select(Alias.name).where(Alias.version_id == version.id).limit(1))
    if name is not None:
        raise Conflict(f"the alias @{name} means this version; move the alias first")
