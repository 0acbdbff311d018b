"""What the gateway knows: control sends it whole on each change, and the gateway keeps the last one on disk."""

from msgspec import Struct


class KeyGrant(Struct, frozen=True, kw_only=True):
    """What a key may do. `scopes`: "admin" (everything), "track" (experiments and runs of clients), "predict",
    "metrics". `expires_at`: seconds since the epoch, or None."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    expires_at: float | None = None


class RouteVersion(Struct, frozen=True, kw_only=True):
    """One version behind a deployment. Addresses are "unix:/path" or "tcp:host:port"."""

    version: str
    digest: str
    weight: float
    replicas: tuple[str, ...]


class Route(Struct, frozen=True, kw_only=True):
    """A deployment as callers see it."""

    tenant: str
    name: str
    model: str
    task: str
    revision: int
    created_at: float
    versions: tuple[RouteVersion, ...]
    max_queue: int = 512  # requests in flight over all its replicas; more are answered 503
    timeout: float = 30.0  # seconds a request may take


class Snapshot(Struct, frozen=True, kw_only=True):
    """GET /internal/snapshots streams one a line (JSON), first at once, then on each change, and a blank line every
    5 s. `keys` maps the hex HMAC-SHA256 of a key under `secret` (hex) to its grant."""

    secret: str
    keys: dict[str, KeyGrant]
    routes: tuple[Route, ...]
