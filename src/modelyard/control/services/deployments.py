"""Deployments: the names that clients call, the versions behind them and their replicas."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import models
from modelyard.control.services.deployment_views import DeploymentView, view
from modelyard.control.services.idempotency import Once, made_before, remember
from modelyard.control.services.names import Selector, check_name, known_name, read_selector
from modelyard.control.services.pages import Page, PageRequest, fetch
from modelyard.control.services.references import get_model, get_model_version
from modelyard.control.services.serving import set_serving
from modelyard.engines.table import generates
from modelyard.errors import Conflict, InvalidInput, NotAllowedFormat, NotFound
from modelyard.store.registry import Deployment, DeploymentVersion, Model, ModelVersion
from modelyard.types.ids import new_id

MOST_REPLICAS: Final = 64
_MOST_VERSIONS: Final = 16


@dataclass(frozen=True, kw_only=True)
class NewDeployment:
    """`version` is a number, "latest", or the beginning of a digest; without it and `alias`, the newest.
    `serving` is what of types.route.Serving is set."""

    name: str
    model: str
    version: str | None = None
    alias: str | None = None
    replicas: int = 1
    serving: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be another; None stays. `split`: version -> share. Of `serving` what is named; null takes a value
    back."""

    replicas: int | None = None
    split: Mapping[str, float] | None = None
    serving: Mapping[str, Any] | None = None


def create(platform: Platform, tenant: str, asked: NewDeployment, once: Once | None = None) -> DeploymentView:
    """Put a version behind a new name; returns before it serves.

    Raises InvalidInput, NotFound, Conflict for a name that is taken, Corrupt for a package whose bytes changed, and
    NotAllowedFormat for a version that says why it cannot be deployed.
    """
    check_name("deployment", asked.name)
    _check_replicas(asked.replicas)
    version_id = _verified(platform, tenant, asked)
    with platform.database.write() as session:
        if (made := made_before(session, tenant, once)) is not None:
            return view(platform, session, get_deployment_by_id(session, tenant, made))
        row = _make(platform, session, tenant, asked, version_id)
        remember(session, tenant, once, row.id, row.created_at)
        shown = view(platform, session, row)
    platform.changes.tell()
    return shown


def list_deployments(platform: Platform, tenant: str, request: PageRequest) -> Page[DeploymentView]:
    with platform.database.read() as session:
        query = select(Deployment).where(Deployment.tenant == tenant)
        rows, cursor = fetch(session, query, Deployment.name, request)
        return Page(items=[view(platform, session, row) for row in rows], next=cursor)


def show(platform: Platform, tenant: str, name: str) -> DeploymentView:
    """Raises NotFound."""
    with platform.database.read() as session:
        return view(platform, session, _get(session, tenant, name))


def change(platform: Platform, tenant: str, name: str, asked: Change) -> DeploymentView:
    """Say how many replicas each version has, which share of the requests each version gets, and how they serve.

    New versions serve when they are ready, and those they replace serve until then. Raises as `create` does.
    """
    if asked.replicas is not None:
        _check_replicas(asked.replicas)
    wanted = _read_split(platform, tenant, name, asked.split) if asked.split is not None else None
    with platform.database.write() as session:
        row = _get(session, tenant, name)
        row.replicas = row.replicas if asked.replicas is None else asked.replicas
        if wanted is not None:
            _put_split(session, row, wanted)
        if asked.serving is not None:
            set_serving(session, row, asked.serving)
        row.revision, row.updated_at = row.revision + 1, platform.now()
        session.flush()
        shown = view(platform, session, row)
    platform.changes.tell()
    return shown


def delete(platform: Platform, tenant: str, name: str) -> None:
    """Stop serving under this name. Raises NotFound."""
    with platform.database.write() as session:
        session.delete(_get(session, tenant, name))
    platform.changes.tell()


def get_deployment_by_id(session: Session, tenant: str, deployment_id: str) -> Deployment:
    """Raises NotFound."""
    row = session.get(Deployment, deployment_id)
    if row is None or row.tenant != tenant:
        raise NotFound("the deployment that this request made was deleted")
    return row


def _get(session: Session, tenant: str, name: str) -> Deployment:
    query = select(Deployment).where(Deployment.tenant == tenant)
    row = session.scalar(query.where(Deployment.name == known_name("deployment", name)))
    if row is None:
        raise NotFound(f"there is no deployment {name!r}")
    return row


def _verified(platform: Platform, tenant: str, asked: NewDeployment) -> str:
    """The id of the version that is asked for, with every byte of it read."""
    if asked.version is not None and asked.alias is not None:
        raise InvalidInput("a deployment takes a version or an alias", allowed="one of them")
    text = f"@{asked.alias}" if asked.alias is not None else asked.version
    with platform.database.read() as session:
        model = get_model(session, tenant, asked.model)
        version = get_model_version(session, model, read_selector(text) if text else Selector())
    _verify(platform, version)
    return version.id


def _verify(platform: Platform, version: ModelVersion) -> None:
    refusal = version.manifest.get("refusal")
    if refusal is not None:
        raise NotAllowedFormat(refusal)
    for name, entry in models.files_of(version).items():
        platform.blobs.verify(name, entry)


def _make(
    platform: Platform, session: Session, tenant: str, asked: NewDeployment, version_id: str
) -> Deployment:
    taken = select(Deployment.id).where(Deployment.tenant == tenant, Deployment.name == asked.name)
    if session.scalar(taken) is not None:
        raise Conflict(f"there is a deployment {asked.name!r} already; change it, or take another name")
    version = _still_there(session, version_id)
    now = platform.now()
    row = Deployment(id=new_id("dep"), tenant=tenant, name=asked.name, model_id=version.model_id,
                     replicas=asked.replicas, revision=1, serving={}, asleep=False, created_at=now,
                     updated_at=now)  # fmt: skip
    session.add(row)
    session.flush()
    session.add(_version_row(row, version.id, 1.0))
    session.flush()
    set_serving(session, row, asked.serving)
    return row


def _read_split(platform: Platform, tenant: str, name: str, split: Mapping[str, float]) -> dict[str, float]:
    """Version ids with their shares, which add up to 1; versions that do not serve yet are verified."""
    if not 0 < len(split) <= _MOST_VERSIONS:
        raise InvalidInput("split", came=f"{len(split)} versions", allowed=f"1 to {_MOST_VERSIONS}")
    if any(not math.isfinite(w) or w < 0 for w in split.values()) or not sum(split.values()) > 0:
        raise InvalidInput("weights of a split", came=dict(split), allowed="0 or more, not all of them 0")
    total = math.fsum(split.values())
    with platform.database.read() as session:
        row = _get(session, tenant, name)
        model = session.get_one(Model, row.model_id)
        found = [
            (get_model_version(session, model, read_selector(v)), w / total)
            for v, w in split.items()
            if w > 0
        ]
        serving = {v.version_id for v in versions_of(session, row)}
    if len({version.id for version, _ in found}) != len(found):
        raise InvalidInput("the split names a version twice", came=sorted(split))
    if len({generates(version.manifest.get("formats", ())) for version, _ in found}) > 1:
        raise InvalidInput(
            "the split mixes versions that stream and versions that answer in batches",
            came={str(v.number): sorted(v.manifest.get("formats", ())) for v, _ in found},
            allowed="versions of one kind; the other kind under a deployment of its own",
        )
    for version, _ in found:
        if version.id not in serving:
            _verify(platform, version)
    return {version.id: weight for version, weight in found}


def _put_split(session: Session, row: Deployment, wanted: Mapping[str, float]) -> None:
    """What is not wanted any more stays while it is live; `rollout` removes it."""
    there = {v.version_id: v for v in versions_of(session, row)}
    for version_id in wanted.keys() - there.keys():
        _still_there(session, version_id)
        session.add(_version_row(row, version_id, wanted[version_id]))
    for version_id, version in there.items():
        version.weight = wanted.get(version_id, 0.0)
        if version.weight == 0.0 and version.live_weight == 0.0:
            session.delete(version)


def versions_of(session: Session, row: Deployment) -> list[DeploymentVersion]:
    query = select(DeploymentVersion).where(DeploymentVersion.deployment_id == row.id)
    return list(session.scalars(query.order_by(DeploymentVersion.version_id)))


def _version_row(row: Deployment, version_id: str, weight: float) -> DeploymentVersion:
    return DeploymentVersion(
        tenant=row.tenant, deployment_id=row.id, version_id=version_id, weight=weight, live_weight=0.0
    )


def _still_there(session: Session, version_id: str) -> ModelVersion:
    version = session.get(ModelVersion, version_id)
    if version is None:
        raise NotFound("the version was deleted meanwhile")
    return version


def _check_replicas(replicas: Any) -> None:
    if not 1 <= replicas <= MOST_REPLICAS:
        raise InvalidInput("replicas", came=replicas, allowed=f"1 to {MOST_REPLICAS}")
