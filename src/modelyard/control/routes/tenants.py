"""Tenants, for an admin of the first one."""

from fastapi import APIRouter

from modelyard.control.routes.request import Body, Here, Operator, Paging
from modelyard.control.services import tenants
from modelyard.control.services.pages import Page
from modelyard.control.services.tenants import TenantView

router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])


class NewTenant(Body):
    name: str


@router.get("")
def index(platform: Here, operator: Operator, page: Paging) -> Page[TenantView]:
    return tenants.list_tenants(platform, page)


@router.post("", status_code=201)
def create(platform: Here, operator: Operator, body: NewTenant) -> TenantView:
    return tenants.create(platform, body.name)


@router.delete("/{name}", status_code=204)
def delete(platform: Here, operator: Operator, name: str) -> None:
    """Only of a tenant that owns nothing; its usage goes with it."""
    tenants.remove(platform, name)
