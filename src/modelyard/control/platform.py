"""What every service works on, made once at start."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from modelyard.control.services.activity import Activities
from modelyard.control.services.leases import Leases
from modelyard.control.services.partials import Partials
from modelyard.control.services.readiness import Readiness
from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import Database
from modelyard.types.process import PlatformConfig

Listener = Callable[[], None]


class Changes:
    """Tells those who wait that what should be, or what is, has changed. Listeners must be quick."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._lock = threading.RLock()  # a signal may come while it is held

    def listen(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.add(listener)

    def forget(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.discard(listener)

    def tell(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()


@dataclass(frozen=True, kw_only=True)
class Platform:
    """`closing` is set when the process is to end."""

    home: Home
    config: PlatformConfig
    secret: bytes
    database: Database
    blobs: BlobStore
    changes: Changes = field(default_factory=Changes)
    leases: Leases = field(default_factory=Leases)
    readiness: Readiness = field(default_factory=Readiness)
    activities: Activities = field(default_factory=Activities)
    partials: Partials = field(default_factory=Partials)
    closing: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], float] = time.time


def digest_of(token: str) -> str:
    """What is kept of a token that is random enough to need no secret (hex sha256)."""
    return hashlib.sha256(token.encode()).hexdigest()
