"""How a deployment serves: what its owner sets, checked value by value, and kept as it was set."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import WithJsonSchema
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from modelyard.engines import table
from modelyard.errors import InvalidInput, UnknownName
from modelyard.store.registry import Deployment, DeploymentVersion, Model, ModelVersion
from modelyard.types.route import Serving

Check = Callable[[str, Any], Any]
"""Name and value -> the value to keep. Raises InvalidInput."""

_DAY: Final = 86_400.0


def _whole(least: int, most: int) -> Check:
    def check(name: str, value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise InvalidInput(name, came=value, allowed=f"a whole number from {least} to {most:,}")
        return value

    return check


def _seconds(least: float, most: float) -> Check:
    def check(name: str, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
            raise InvalidInput(name, came=value, allowed=f"seconds from {least:g} to {most:,.0f}")
        return float(value)

    return check


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise InvalidInput(name, came=value, allowed="true, false")
    return value


def _name(name: str, value: Any) -> str:
    if type(value) is not str or not value:
        raise InvalidInput(name, came=value, allowed="the name of a deployment")
    return value


CHECKS: Final[dict[str, Check]] = {
    "slots": _whole(1, 1024),
    "context": _whole(16, 1 << 24),
    "threads": _whole(1, 1024),
    "cache": _seconds(0, 30 * _DAY),
    "fallback": _name,
    "first_token": _seconds(0.001, _DAY),
    "sleep": _seconds(1, 365 * _DAY),
    "pinned": _flag,
    "shared": _flag,
    "timeout": _seconds(0.001, _DAY),
}
"""By the fields of types.route.Serving."""

_GENERATING_ALONE: Final = ("slots", "context", "cache", "fallback", "first_token")


def _schema() -> dict[str, Any]:
    kinds = dict.fromkeys(("slots", "context", "threads"), "integer")
    kinds |= {"fallback": "string", "pinned": "boolean", "shared": "boolean"}
    properties = {name: {"type": [kinds.get(name, "number"), "null"]} for name in CHECKS}
    return {"type": "object", "properties": properties, "additionalProperties": False}


ServingSettings = Annotated[dict[str, Any], WithJsonSchema(_schema())]
"""What is set, by name; the API's form of it."""


def serving_of(row: Deployment) -> Serving:
    return msgspec.convert(row.serving, Serving)


def generates(session: Session, row: Deployment) -> bool:
    """Whether the engine of its versions batches by itself and streams: of those that are live, where there are."""
    query = select(DeploymentVersion.live_weight, ModelVersion.manifest).join(
        ModelVersion, DeploymentVersion.version_id == ModelVersion.id
    )
    found = session.execute(query.where(DeploymentVersion.deployment_id == row.id)).all()
    live = [manifest for weight, manifest in found if weight > 0]
    return any(table.generates(m.get("formats", ())) for m in live or [manifest for _, manifest in found])


def set_serving(session: Session, row: Deployment, asked: Mapping[str, Any]) -> None:
    """Set what is named; None takes a value back.

    Raises:
        UnknownName: no such setting; or `fallback` names no deployment that is there.
        InvalidInput: a value that is not allowed, or one that this task has no use for; a fallback that leads back.
    """
    for name in asked:
        if name not in CHECKS:
            raise UnknownName("setting", name, CHECKS, where="serving")
    wanted = {name: CHECKS[name](name, value) for name, value in asked.items() if value is not None}
    task = session.get_one(Model, row.model_id).task
    for name in wanted:
        if name in _GENERATING_ALONE and not generates(session, row):
            raise InvalidInput(
                f"{name} is for models that generate", came=task, allowed="versions of formats that stream"
            )
    kept = {name: value for name, value in row.serving.items() if name not in asked}
    row.serving = kept | wanted
    session.flush()
    if "fallback" in wanted:
        _check_fallbacks(session, row, task)
    if row.serving.get("sleep") is None:
        row.asleep = False


def _check_fallbacks(session: Session, row: Deployment, task: str) -> None:
    """Each of them, as the gateway would ask them in turn: the tenant's own before those that others share."""
    query = select(Deployment, Model.task).join(Model, Deployment.model_id == Model.id)
    found = session.execute(
        query.where(or_(Deployment.tenant == row.tenant, Deployment.serving["shared"].as_boolean()))
    ).all()
    known: dict[str, tuple[str, str]] = {}
    for other, its_task in sorted(found, key=lambda f: f[0].tenant == row.tenant):
        known[other.name] = str(other.serving.get("fallback") or ""), its_task
    way, name = [row.name], known[row.name][0]
    while name in known and name not in way:
        way, name = [*way, name], known[name][0]
    if name == row.name:
        raise InvalidInput("the fallback leads back to the deployment itself", came=" > ".join([*way, name]))
    first = str(row.serving["fallback"])
    if first not in known:
        raise UnknownName("deployment", first, known.keys() - {row.name}, where="fallback")
    if known[first][1] != task:
        raise InvalidInput(
            "the fallback is of another task", came=f"{first}: {known[first][1]}", allowed=task
        )
