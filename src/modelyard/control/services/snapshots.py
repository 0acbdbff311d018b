"""What the gateway is told: routes to the replicas that answer, and the hashes of the keys that are good."""

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.control.platform import Platform
from modelyard.control.services import attempt_keys, keys
from modelyard.control.services.deployment_views import is_loading
from modelyard.control.services.serving import generates, serving_of
from modelyard.store.registry import Deployment, DeploymentVersion, Model, ModelVersion
from modelyard.types.route import Route, RouteVersion, Snapshot


def snapshot(platform: Platform) -> bytes:
    """The present Snapshot as JSON."""
    with platform.database.read() as session:
        query = select(Deployment, Model).join(Model, Deployment.model_id == Model.id).order_by(Deployment.id)
        routes = tuple(_route(platform, session, row, model) for row, model in session.execute(query))
        grants = keys.grants(platform, session) | attempt_keys.grants(platform, session)
    return msgspec.json.encode(Snapshot(secret=platform.secret.hex(), keys=grants, routes=routes))


def _route(platform: Platform, session: Session, row: Deployment, model: Model) -> Route:
    versions = _live(platform, session, row)
    answering = tuple(v for v in versions if v.replicas)
    loading = not answering and is_loading(platform, session, row)
    return Route(
        tenant=row.tenant,
        name=row.name,
        model=model.name,
        task=model.task,
        revision=row.revision,
        created_at=row.created_at,
        versions=answering or versions,  # a version without a replica leaves its share to the others
        serving=serving_of(row),
        asleep=loading,
        why=platform.readiness.why(row.id) if loading else "",
        generates=generates(session, row),
    )


def _live(platform: Platform, session: Session, row: Deployment) -> tuple[RouteVersion, ...]:
    query = select(DeploymentVersion, ModelVersion).join(
        ModelVersion, DeploymentVersion.version_id == ModelVersion.id
    )
    mine = DeploymentVersion.deployment_id == row.id, DeploymentVersion.live_weight > 0
    return tuple(
        RouteVersion(
            version=str(version.number),
            digest=version.digest,
            weight=deployed.live_weight,
            replicas=platform.readiness.ready(row.id, version.id),
        )
        for deployed, version in session.execute(query.where(*mine).order_by(ModelVersion.number))
    )
