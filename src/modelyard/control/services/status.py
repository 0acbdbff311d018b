"""The platform at a glance."""

from typing import Any

import msgspec
from sqlalchemy import func, select

from modelyard.cluster.connection import Connection
from modelyard.control.platform import Platform
from modelyard.errors import Unavailable
from modelyard.store.links import stored_bytes
from modelyard.store.registry import Deployment, Model
from modelyard.store.tables import DEFAULT_TENANT
from modelyard.store.work import Dataset, Run
from modelyard.version import __version__

_LAUNCHER_SECONDS = 2.0


def show(platform: Platform, tenant: str) -> dict[str, Any]:
    """Addresses, counts, and the processes of the launcher's table (None where no launcher answers). They are all
    tenants', so that only the first one is told of them."""
    with platform.database.read() as session:
        by_state = select(Run.state, func.count()).where(Run.tenant == tenant).group_by(Run.state)
        runs = {state: count for state, count in session.execute(by_state)}
        counts = {
            name: session.scalar(select(func.count()).select_from(table).where(table.tenant == tenant))
            for name, table in (("datasets", Dataset), ("models", Model), ("deployments", Deployment))
        }
        stored = stored_bytes(session, tenant)
    return {
        "version": __version__,
        "url": platform.config.control_url,
        "gateway_url": platform.config.gateway_url,
        **counts,
        "runs": runs,
        "stored_bytes": stored,
        "processes": _processes(platform) if tenant == DEFAULT_TENANT else [],
    }


def _processes(platform: Platform) -> list[dict[str, Any]] | None:
    try:
        table = Connection(platform.home.launcher_socket, _LAUNCHER_SECONDS).table()
    except Unavailable:
        return None
    processes: list[dict[str, Any]] = msgspec.to_builtins(table.processes)
    return processes
