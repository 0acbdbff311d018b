"""API keys. `?tenant=` names another tenant's, for an admin of the first one."""

from fastapi import APIRouter
from pydantic import Field

from modelyard.control.routes.request import Body, Here, Managed, Paging
from modelyard.control.services import keys
from modelyard.control.services.keys import KeyView
from modelyard.control.services.pages import Page
from modelyard.errors import InvalidInput

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])


class NewKey(Body):
    """`expires_in` in seconds; without it, the key is good until it is revoked. `budget`: tokens that it may use in
    a day (UTC); without it, as many as it likes."""

    name: str
    scopes: list[str] = Field(default_factory=lambda: ["predict"])
    expires_in: float | None = None
    budget: int | None = None


class Change(Body):
    """`budget` null takes the budget away."""

    budget: int | None = None


@router.get("")
def index(platform: Here, tenant: Managed, page: Paging) -> Page[KeyView]:
    return keys.list_keys(platform, tenant, page)


@router.post("", status_code=201)
def create(platform: Here, tenant: Managed, body: NewKey) -> KeyView:
    """The answer holds the key itself, this once."""
    return keys.create(platform, tenant, body.name, body.scopes, body.expires_in, budget=body.budget)


@router.get("/{key}")
def show(platform: Here, tenant: Managed, key: str) -> KeyView:
    return keys.show(platform, tenant, key)


@router.patch("/{key}")
def change(platform: Here, tenant: Managed, key: str, body: Change) -> KeyView:
    if "budget" not in body.model_fields_set:
        raise InvalidInput("nothing to change", allowed="budget")
    return keys.change(platform, tenant, key, body.budget)


@router.delete("/{key}", status_code=204)
def revoke(platform: Here, tenant: Managed, key: str) -> None:
    keys.revoke(platform, tenant, key)
