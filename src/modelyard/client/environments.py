"""Environments: what the requirements of scripts have made."""

from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.record import Record
from modelyard.client.transport import Request, at

if TYPE_CHECKING:
    from modelyard.client.client import Client


class Environment(Record):
    """One environment, by its digest."""

    shown: ClassVar[tuple[str, ...]] = ("digest", "requirements")

    @property
    def digest(self) -> str:
        return str(self.raw["digest"])

    @property
    def requirements(self) -> list[str]:
        return list(self.raw.get("requirements") or [])

    @property
    def built(self) -> bool:
        """Whether it is whole."""
        return self.raw.get("made_at") is not None

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.raw.get("size") or 0)

    @property
    def users(self) -> list[str]:
        """What needs it: versions ("name:3") and runs that have not ended."""
        return [*(self.raw.get("versions") or []), *(self.raw.get("runs") or [])]


class Environments:
    """`client.environments`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(self, limit: int | None = None) -> list[Environment]:
        return [
            Environment(e, self._client) for e in self._client.transport.pages("/api/v1/environments", limit)
        ]

    def show(self, digest: str) -> Environment:
        """`digest`, or its first 8 digits or more."""
        return Environment(self._client.transport.get(at("environments", digest)), self._client)

    def remove(self, digest: str) -> None:
        """Raises Conflict while something needs it, or runs in it."""
        self._client.transport.send(Request(method="DELETE", path=at("environments", digest)))

    def collect(self, days: float | None = None) -> dict[str, Any]:
        """Remove what nothing needs and nobody asked for in so many days: {"removed": [...], "bytes": ...}."""
        body = {} if days is None else {"days": days}
        return dict(self._client.transport.post(at("environments", "collect"), body))
