"""Tenants, for an admin of the first one."""

from typing import TYPE_CHECKING, ClassVar

from modelyard.client.record import Record
from modelyard.client.transport import Request, at

if TYPE_CHECKING:
    from modelyard.client.client import Client


class Tenant(Record):
    """Whose keys, models, deployments and usage are apart from the others'."""

    shown: ClassVar[tuple[str, ...]] = ("name",)

    @property
    def name(self) -> str:
        return str(self.raw["name"])


class Tenants:
    """`client.tenants`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def create(self, name: str) -> Tenant:
        return Tenant(self._client.transport.post("/api/v1/tenants", {"name": name}), self._client)

    def list(self, limit: int | None = None) -> list[Tenant]:
        return [Tenant(t, self._client) for t in self._client.transport.pages("/api/v1/tenants", limit)]

    def delete(self, name: str) -> None:
        """Only one that owns nothing; its usage goes with it."""
        self._client.transport.send(Request(method="DELETE", path=at("tenants", name)))
