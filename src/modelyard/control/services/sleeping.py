"""Sleep: deployments whose replicas end when nobody calls them, and start again for who does."""

from collections.abc import Collection, Iterable

from sqlalchemy import select

from modelyard.control.platform import Platform
from modelyard.control.services.rollout import WantedReplica
from modelyard.control.services.serving import serving_of
from modelyard.errors import NotFound
from modelyard.store.registry import Deployment
from modelyard.types.activity import ActivityReport


def hear(platform: Platform, report: ActivityReport) -> None:
    """Take the gateway's report; what waits for a deployment that sleeps wakes it, should the call have been
    missed."""
    platform.activities.hear(report)
    for told in report.deployments:
        if told.waiting:
            try:
                wake(platform, told.tenant, told.name)
            except NotFound:
                continue  # it was deleted; the gateway hears of it too


def wake(platform: Platform, tenant: str, name: str) -> None:
    """Want the replicas again. The same however often it is asked. Raises NotFound."""
    query = select(Deployment).where(Deployment.tenant == tenant, Deployment.name == name)
    with platform.database.read() as session:
        row = session.scalar(query)
        if row is None:
            raise NotFound(f"there is no deployment {name[:64]!r}")
        if not row.asleep:
            return
    platform.activities.touch((tenant, name))
    with platform.database.write() as session:
        row = session.scalar(query)
        if row is None:
            raise NotFound(f"there is no deployment {name[:64]!r}")
        row.asleep, row.revision, row.updated_at = False, row.revision + 1, platform.now()
    platform.changes.tell()


def put_to_sleep(platform: Platform, ids: Collection[str]) -> None:
    """End the replicas of these deployments until they are called, where that may be."""
    if not ids:
        return
    with platform.database.write() as session:
        for row in session.scalars(select(Deployment).where(Deployment.id.in_(ids))):
            if not row.asleep and serving_of(row).sleep is not None:
                row.asleep, row.revision, row.updated_at = True, row.revision + 1, platform.now()


def idle_too_long(platform: Platform, wanted: Iterable[WantedReplica]) -> set[str]:
    """The ids of deployments that nobody has called for as long as their owner said; what is still starting is not
    idle."""
    whole: dict[str, list[WantedReplica]] = {}
    for replica in wanted:
        whole.setdefault(replica.deployment, []).append(replica)
    return {one for one, replicas in whole.items() if _idle(platform, replicas)}


def _idle(platform: Platform, replicas: list[WantedReplica]) -> bool:
    first = replicas[0]
    key, limit = (first.tenant, first.name), first.serving.sleep
    if limit is None:
        return False
    states = {_state(platform, replica) for replica in replicas}
    if not states <= {"ready", "waiting"}:
        platform.activities.touch(key)
        return False
    idle = platform.activities.idle(key)
    return idle is not None and idle >= limit


def _state(platform: Platform, replica: WantedReplica) -> str | None:
    known = platform.readiness.of(replica.deployment, replica.version).get(replica.replica)
    return known.state if known is not None else None
