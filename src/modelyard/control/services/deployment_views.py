"""What a deployment is: its versions, its replicas, and how far they are."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.readiness import ReplicaStatus
from modelyard.control.services.serving import ServingSettings, serving_of
from modelyard.store.registry import Deployment, DeploymentVersion, Model, ModelVersion

State = Literal["waiting", "starting", "ready", "failed", "asleep"]


@dataclass(frozen=True, kw_only=True)
class ReplicaView:
    number: int
    state: State
    error: dict[str, str] | None
    restarts: int


@dataclass(frozen=True, kw_only=True)
class DeployedVersionView:
    """`weight` is the share that is wanted, `live_weight` the share that it has now."""

    version: int
    digest: str
    weight: float
    live_weight: float
    state: State
    ready: int
    replicas: list[ReplicaView]


@dataclass(frozen=True, kw_only=True)
class DeploymentView:
    """`state`: "ready" when every wanted version has all its replicas, "failed" when one cannot be served
    (what served before goes on serving), "asleep" when its replicas start when it is called, "waiting" when one
    may not start yet (`why` says what it waits for), else "starting". `replicas` is of each version, `ready` of
    them all. `serving`: what its owner set of how it serves; what is absent is as it is by itself."""

    name: str
    model: str
    task: str
    state: State
    replicas: int
    ready: int
    revision: int
    versions: list[DeployedVersionView]
    serving: ServingSettings
    error: dict[str, str] | None
    why: str | None
    created_at: float
    updated_at: float


def view(platform: Platform, session: Session, row: Deployment) -> DeploymentView:
    model = session.get_one(Model, row.model_id)
    query = select(DeploymentVersion, ModelVersion).join(
        ModelVersion, DeploymentVersion.version_id == ModelVersion.id
    )
    rows = session.execute(
        query.where(DeploymentVersion.deployment_id == row.id).order_by(ModelVersion.number)
    )
    versions = [_version(platform, row, deployed, version) for deployed, version in rows]
    if row.asleep:
        versions = [replace(v, state="asleep", ready=0, replicas=[]) for v in versions]
    wanted = [v for v in versions if v.weight > 0]
    errors = [r.error for v in wanted if v.state == "failed" for r in v.replicas if r.error]
    return DeploymentView(
        name=row.name,
        model=model.name,
        task=model.task,
        state="asleep" if row.asleep else _worst([v.state for v in wanted]),
        replicas=row.replicas,
        ready=sum(v.ready for v in versions),
        revision=row.revision,
        versions=versions,
        serving=row.serving,
        error=errors[0] if errors else None,
        why=platform.readiness.why(row.id) or None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def is_loading(platform: Platform, session: Session, row: Deployment) -> bool:
    """Of one without a replica that answers: whether requests are to wait for one. They are where it sleeps, or may
    sleep and is being started, or may not start yet; what cannot be served is refused."""
    if row.asleep or platform.readiness.why(row.id):
        return True
    query = select(DeploymentVersion.version_id).where(DeploymentVersion.deployment_id == row.id)
    known = [r for v in session.scalars(query) for r in platform.readiness.of(row.id, v).values()]
    return serving_of(row).sleep is not None and all(r.state != "failed" for r in known)


def _version(platform: Platform, row: Deployment, deployed: DeploymentVersion,
             version: ModelVersion) -> DeployedVersionView:  # fmt: skip
    known = platform.readiness.of(row.id, version.id)
    replicas = [_replica(number, known.get(number)) for number in range(row.replicas)]
    states: list[State] = [r.state for r in replicas]
    return DeployedVersionView(
        version=version.number,
        digest=version.digest,
        weight=deployed.weight,
        live_weight=deployed.live_weight,
        state=_worst(states),
        ready=states.count("ready"),
        replicas=replicas,
    )


def _replica(number: int, status: ReplicaStatus | None) -> ReplicaView:
    if status is None:
        return ReplicaView(number=number, state="starting", error=None, restarts=0)
    return ReplicaView(number=number, state=status.state, error=status.error, restarts=status.restarts)


def _worst(states: list[Any]) -> State:
    order: tuple[State, ...] = ("failed", "starting", "waiting", "ready")
    return next((state for state in order if state in states), "starting")
