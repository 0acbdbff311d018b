"""API keys."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.record import Record
from modelyard.client.transport import Request, at

if TYPE_CHECKING:
    from modelyard.client.client import Client


class Key(Record):
    """A key as lists show it; the key itself is in `secret` once, when it has just been made."""

    shown: ClassVar[tuple[str, ...]] = ("id", "name", "scopes")

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def name(self) -> str:
        return str(self.raw.get("name") or "")

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.raw.get("scopes") or ())

    @property
    def secret(self) -> str | None:
        """The key, where the server has just made it; it cannot be had again."""
        return self.raw.get("key")


class Keys:
    """`client.keys`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def create(self, name: str, scopes: Sequence[str] = ("predict",), expires_in: float | None = None) -> Key:
        """`expires_in` in seconds; None: never."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_in is not None:
            body["expires_in"] = expires_in
        return Key(self._client.transport.post("/api/v1/keys", body), self._client)

    def list(self, limit: int | None = None) -> list[Key]:
        return [Key(k, self._client) for k in self._client.transport.pages("/api/v1/keys", limit)]

    def revoke(self, key: str) -> None:
        """`key` is an id."""
        self._client.transport.send(Request(method="DELETE", path=at("keys", key)))
