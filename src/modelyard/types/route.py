"""What the gateway knows: control sends it whole on each change, and the gateway keeps the last one on disk."""

from typing import Final, Literal

from msgspec import Struct

DEFAULT_TENANT: Final = "default"
"""The first tenant: it is always there, and its admins manage the platform and the other tenants."""

Priority = Literal["live", "batch"]


class KeyGrant(Struct, frozen=True, kw_only=True):
    """What a key may do. `scopes`: "admin" (everything), "track" (experiments and runs of clients, fine-tuning jobs
    among them), "predict" (files and batches too), "metrics". `expires_at`: seconds since the epoch, or None.
    `priority`: what is "batch" waits for what is "live".
    `budget`: tokens of a day (UTC) that it may use, `used` of them already on `day` (counted from 1970-01-01), when
    the snapshot was taken."""

    id: str
    tenant: str
    scopes: tuple[str, ...]
    expires_at: float | None = None
    priority: Priority = "live"
    budget: int | None = None
    used: int = 0
    day: int = 0


class Serving(Struct, frozen=True, kw_only=True):
    """How a deployment serves; what its owner has not set is as here. Times in seconds.

    slots, context, threads   of an engine that generates; None: its own choice
    cache            how long an answer that would be the same again is kept for the same tenant; 0: not at all
    fallback         a deployment that is asked where this one cannot answer; empty: none
    first_token      a request whose first token would come later is refused; None: none is
    sleep            idle for so long, its replicas end, and start again for the next request; None: never
    pinned           its replicas are never ended to make room for another's
    shared           callers of all tenants may call it
    timeout          a request may take; None: 30, and 600 of models that generate
    """

    slots: int | None = None
    context: int | None = None
    threads: int | None = None
    cache: float = 0.0
    fallback: str = ""
    first_token: float | None = None
    sleep: float | None = None
    pinned: bool = False
    shared: bool = False
    timeout: float | None = None


class RouteVersion(Struct, frozen=True, kw_only=True):
    """One version behind a deployment. Addresses are "unix:/path" or "tcp:host:port"."""

    version: str
    digest: str
    weight: float
    replicas: tuple[str, ...]


class Route(Struct, frozen=True, kw_only=True):
    """A deployment as callers see it. `generates`: its engine batches by itself and streams; None (in a snapshot
    that an older control wrote): as its task says."""

    tenant: str
    name: str
    model: str
    task: str
    revision: int
    created_at: float
    versions: tuple[RouteVersion, ...]
    max_queue: int = 512  # requests in flight over all its replicas; more are answered 503
    timeout: float = 30.0  # seconds a request may take
    serving: Serving = Serving()
    asleep: bool = False  # its replicas start when it is called, or are being started: requests wait for them
    why: str = ""  # they cannot start now, where that is known
    generates: bool | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """GET /internal/snapshots streams one a line (JSON), first at once, then on each change, and a blank line every
    5 s. `keys` maps the hex HMAC-SHA256 of a key under `secret` (hex) to its grant."""

    secret: str
    keys: dict[str, KeyGrant]
    routes: tuple[Route, ...]
