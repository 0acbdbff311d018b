"""What the replicas are, as the last look at them found. In memory: it is looked at again after a restart."""

import threading
from dataclasses import dataclass
from typing import Literal

ReplicaState = Literal["waiting", "starting", "ready", "failed"]


@dataclass(frozen=True, kw_only=True)
class ReplicaStatus:
    """One replica. `address` is "unix:/path"; `error` {"code", "message"} of one that failed; `why` one that waits
    may not start yet."""

    state: ReplicaState
    address: str
    error: dict[str, str] | None = None
    restarts: int = 0
    why: str = ""


class Readiness:
    """Replicas by deployment id and version id, and by their number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replicas: dict[tuple[str, str], dict[int, ReplicaStatus]] = {}
        self.looked = threading.Event()  # until then nothing is known, which is not the same as nothing ready

    def update(self, replicas: dict[tuple[str, str], dict[int, ReplicaStatus]]) -> bool:
        """Replace what is known. Returns whether it was another."""
        with self._lock:
            changed = self._replicas != replicas or not self.looked.is_set()
            self._replicas = replicas
            self.looked.set()
            return changed

    def of(self, deployment: str, version: str) -> dict[int, ReplicaStatus]:
        with self._lock:
            return dict(self._replicas.get((deployment, version), {}))

    def why(self, deployment: str) -> str:
        """Of a replica of the deployment that may not start yet; "" where there is none."""
        with self._lock:
            known = [r for (d, _), found in self._replicas.items() if d == deployment for r in found.values()]
        return next((r.why for r in known if r.state == "waiting"), "")

    def ready(self, deployment: str, version: str) -> tuple[str, ...]:
        """Addresses of the replicas that answer."""
        return tuple(r.address for _, r in sorted(self.of(deployment, version).items()) if r.state == "ready")
