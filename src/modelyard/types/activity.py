"""What the gateway tells control of how much deployments have to do."""

from msgspec import Struct


class Activity(Struct, frozen=True, kw_only=True):
    """A deployment that has something to do, or had since the last report that control heard. `running`: requests
    that its replicas work on; `waiting`: that wait for one, as while it loads."""

    tenant: str
    name: str
    running: int
    waiting: int


class ActivityReport(Struct, frozen=True, kw_only=True):
    """POST /internal/activity: every 2 s at the latest, also where there is nothing to tell."""

    deployments: tuple[Activity, ...]


class Wake(Struct, frozen=True, kw_only=True):
    """POST /internal/wake: a request waits for a deployment that is asleep."""

    tenant: str
    name: str
