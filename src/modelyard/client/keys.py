"""API keys."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.record import Record
from modelyard.client.transport import Request, at

if TYPE_CHECKING:
    from modelyard.client.client import Client


class Key(Record):
    """A key as lists show it; the key itself is in `secret` once, when it has just been made."""

    shown: ClassVar[tuple[str, ...]] = ("id", "name", "scopes", "budget")

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
    def budget(self) -> int | None:
        """Tokens that it may use in a day (UTC); None: as many as it likes."""
        return self.raw.get("budget")

    @property
    def used_today(self) -> int:
        """Tokens that it has used today (UTC)."""
        return int(self.raw.get("used_today") or 0)

    @property
    def secret(self) -> str | None:
        """The key, where the server has just made it; it cannot be had again."""
        return self.raw.get("key")


class Keys:
    """`client.keys`. `tenant` names another one than the client's own, for an admin of the first tenant."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def create(
        self,
        name: str,
        scopes: Sequence[str] = ("predict",),
        expires_in: float | None = None,
        *,
        budget: int | None = None,
        tenant: str | None = None,
    ) -> Key:
        """`expires_in` in seconds, None: never; `budget`: tokens that it may use in a day (UTC), None: as many as
        it likes."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_in is not None:
            body["expires_in"] = expires_in
        if budget is not None:
            body["budget"] = budget
        return self._ask("POST", "/api/v1/keys", tenant, body)

    def list(self, limit: int | None = None, *, tenant: str | None = None) -> list[Key]:
        found = self._client.transport.pages("/api/v1/keys", limit, tenant=tenant)
        return [Key(raw, self._client) for raw in found]

    def change(self, key: str, *, budget: int | None, tenant: str | None = None) -> Key:
        """`key` is an id. The budget holds from now on, for today too; None takes it away."""
        return self._ask("PATCH", at("keys", key), tenant, {"budget": budget})

    def revoke(self, key: str, *, tenant: str | None = None) -> None:
        """`key` is an id."""
        self._client.transport.send(Request(method="DELETE", path=at("keys", key), query=_of(tenant)))

    def _ask(self, method: str, path: str, tenant: str | None, body: dict[str, Any]) -> Key:
        headers = {"Idempotency-Key": secrets.token_hex(16)} if method == "POST" else {}
        request = Request(method=method, path=path, query=_of(tenant), json=body, headers=headers)
        return Key(self._client.transport.send(request), self._client)


def _of(tenant: str | None) -> dict[str, str]:
    return {} if tenant is None else {"tenant": tenant}
