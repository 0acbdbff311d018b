"""The rows of MLflow's registry, and how clients see them."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.mlflow.names import check_registered
from modelyard.control.mlflow.wire import filled, pairs
from modelyard.control.services import notes
from modelyard.errors import InvalidInput, NotFound
from modelyard.store.registry import Model, ModelVersion
from modelyard.store.tracking import RegisteredAlias, RegisteredModel, RegisteredVersion

MODEL_TAG, VERSION_TAG = "registered.tag", "version.tag"
READY, PENDING, FAILED = "READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION"
STAGES: Final = ("None", "Staging", "Production", "Archived")
PLATFORM_TAG: Final = "modelyard.version"
"""A tag that nobody set: what `yard deploy` calls the version."""


def get_model(session: Session, tenant: str, name: str) -> RegisteredModel:
    """Raises NotFound, and InvalidInput for what can be no name."""
    check_registered(name)
    query = select(RegisteredModel).where(RegisteredModel.tenant == tenant, RegisteredModel.name == name)
    row = session.scalar(query)
    if row is None:
        raise NotFound(f"Registered Model with name={name} not found")
    return row


def get_version(session: Session, model: RegisteredModel, version: str) -> RegisteredVersion:
    """Raises NotFound, and InvalidInput for what is no number."""
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise InvalidInput("Model version must be an integer", came=version)
    row = session.get(RegisteredVersion, (model.id, int(version)))
    if row is None:
        raise NotFound(f"Model Version (name={model.name}, version={version}) not found")
    return row


def owner_of(row: RegisteredVersion) -> str:
    """Of its tags."""
    return f"{row.registered_id}/{row.number}"


def versions_of(session: Session, model: RegisteredModel) -> Sequence[RegisteredVersion]:
    query = select(RegisteredVersion).where(RegisteredVersion.registered_id == model.id)
    return session.scalars(query.order_by(RegisteredVersion.number.desc())).all()


def latest_of(
    session: Session, model: RegisteredModel, stages: Sequence[str] = ()
) -> list[RegisteredVersion]:
    """The newest version of each stage."""
    newest: dict[str, RegisteredVersion] = {}
    for row in versions_of(session, model):
        newest.setdefault(row.stage, row)
    wanted = {stage.lower() for stage in stages}
    return [row for row in newest.values() if not wanted or row.stage.lower() in wanted]


def model_view(session: Session, row: RegisteredModel) -> dict[str, Any]:
    aliases = session.scalars(select(RegisteredAlias).where(RegisteredAlias.registered_id == row.id))
    return filled(
        name=row.name,
        creation_timestamp=row.created_ms,
        last_updated_timestamp=row.updated_ms,
        description=row.description or None,
        latest_versions=[version_view(session, row, version) for version in latest_of(session, row)],
        tags=pairs(notes.read_one(session, row.tenant, MODEL_TAG, row.id)),
        aliases=[{"alias": a.alias, "version": str(a.number)} for a in aliases],
    )


def version_view(session: Session, model: RegisteredModel, row: RegisteredVersion) -> dict[str, Any]:
    query = select(RegisteredAlias.alias).where(
        RegisteredAlias.registered_id == model.id, RegisteredAlias.number == row.number
    )
    tags = notes.read_one(session, row.tenant, VERSION_TAG, owner_of(row))
    return filled(
        name=model.name,
        version=str(row.number),
        creation_timestamp=row.created_ms,
        last_updated_timestamp=row.updated_ms,
        user_id=row.user or None,
        current_stage=row.stage,
        description=row.description,
        source=row.source,
        run_id=row.run_id or "",
        run_link=row.run_link,
        status=row.status,
        status_message=row.status_message or None,
        model_id=row.logged_id,
        tags=pairs(tags | _platform_tag(session, row)),
        aliases=sorted(session.scalars(query)),
    )


def _platform_tag(session: Session, row: RegisteredVersion) -> dict[str, str]:
    """The version here that it became: the name may be another one."""
    version = session.get(ModelVersion, row.version_id) if row.version_id else None
    if version is None:
        return {}
    return {PLATFORM_TAG: f"{session.get_one(Model, version.model_id).name}:{version.number}"}
