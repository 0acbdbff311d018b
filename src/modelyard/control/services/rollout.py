"""Which replicas should be, and when what is wanted of a deployment becomes what serves."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services.deployments import versions_of
from modelyard.control.services.serving import serving_of
from modelyard.store.registry import Deployment, DeploymentVersion, ModelVersion
from modelyard.types.route import Serving


@dataclass(frozen=True, kw_only=True)
class WantedReplica:
    """One replica that should be. `deployment` and `version` are ids; `name` and `number` what callers
    see. `serving` is how its deployment serves."""

    tenant: str
    deployment: str
    version: str
    name: str
    number: int
    digest: str
    replica: int
    serving: Serving

    @property
    def key(self) -> tuple[str, str]:
        return self.deployment, self.version


def wanted_replicas(platform: Platform) -> list[WantedReplica]:
    """The replicas of every version that serves or is to serve, and of no deployment that sleeps."""
    query = (
        select(Deployment, ModelVersion)
        .join(DeploymentVersion, DeploymentVersion.deployment_id == Deployment.id)
        .join(ModelVersion, DeploymentVersion.version_id == ModelVersion.id)
        .where(Deployment.asleep.is_(False))
        .order_by(Deployment.id, ModelVersion.number)
    )
    with platform.database.read() as session:
        rows = session.execute(query).all()
    return [_wanted(row, version, replica) for row, version in rows for replica in range(row.replicas)]


def asleep(platform: Platform) -> frozenset[str]:
    """The ids of deployments that sleep."""
    with platform.database.read() as session:
        return frozenset(session.scalars(select(Deployment.id).where(Deployment.asleep.is_(True))))


def promote(platform: Platform) -> bool:
    """Let what is wanted serve where every wanted version has a ready replica; what is not wanted is
    removed then.

    Returns whether anything changed. A version that never gets ready changes nothing: what served goes on
    serving.
    """
    with platform.database.read() as session:
        rows = session.scalars(select(Deployment)).all()
        due = [row.id for row in rows if _due(platform, row, versions_of(session, row))]
    if not due:
        return False
    with platform.database.write() as session:
        for deployment_id in due:
            _promote(platform, session, deployment_id)
    return True


def _due(platform: Platform, row: Deployment, versions: Sequence[DeploymentVersion]) -> bool:
    wanted = [v for v in versions if v.weight > 0]
    changed = any(v.weight != v.live_weight for v in versions)
    return changed and all(platform.readiness.ready(row.id, v.version_id) for v in wanted)


def _promote(platform: Platform, session: Session, deployment_id: str) -> None:
    row = session.get(Deployment, deployment_id)
    if row is None:
        return
    versions = versions_of(session, row)
    if not _due(platform, row, versions):
        return
    for version in versions:
        version.live_weight = version.weight
        if version.weight == 0.0:
            session.delete(version)
    row.revision, row.updated_at = row.revision + 1, platform.now()


def _wanted(row: Deployment, version: ModelVersion, replica: int) -> WantedReplica:
    return WantedReplica(
        tenant=row.tenant,
        deployment=row.id,
        version=version.id,
        name=row.name,
        number=version.number,
        digest=version.digest,
        replica=replica,
        serving=serving_of(row),
    )
