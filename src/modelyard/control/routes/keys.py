"""API keys."""

from fastapi import APIRouter
from pydantic import Field

from modelyard.control.routes.request import Body, Here, Paging, Tenant
from modelyard.control.services import keys
from modelyard.control.services.keys import KeyView
from modelyard.control.services.pages import Page

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])


class NewKey(Body):
    """`expires_in` in seconds; without it, the key is good until it is revoked."""

    name: str
    scopes: list[str] = Field(default_factory=lambda: ["predict"])
    expires_in: float | None = None


@router.get("")
def index(platform: Here, tenant: Tenant, page: Paging) -> Page[KeyView]:
    return keys.list_keys(platform, tenant, page)


@router.post("", status_code=201)
def create(platform: Here, tenant: Tenant, body: NewKey) -> KeyView:
    """The answer holds the key itself, this once."""
    return keys.create(platform, tenant, body.name, body.scopes, body.expires_in)


@router.get("/{key}")
def show(platform: Here, tenant: Tenant, key: str) -> KeyView:
    return keys.show(platform, tenant, key)


@router.delete("/{key}", status_code=204)
def revoke(platform: Here, tenant: Tenant, key: str) -> None:
    keys.revoke(platform, tenant, key)
