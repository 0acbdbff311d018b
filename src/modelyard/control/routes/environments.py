"""Environments."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from modelyard.control.routes.request import Body, Here, Operator, Paging, Tenant
from modelyard.control.services import environments
from modelyard.control.services.environments import UNUSED_DAYS, CollectedView, EnvironmentView
from modelyard.control.services.pages import Page

router = APIRouter(prefix="/api/v1/environments", tags=["environments"])


class Unused(Body):
    """`days` for which nobody asked for it."""

    days: Annotated[float, Field(ge=0, le=36500)] = UNUSED_DAYS


@router.get("")
def index(platform: Here, tenant: Tenant, page: Paging) -> Page[EnvironmentView]:
    return environments.list_environments(platform, tenant, page)


@router.post("/collect")
def collect(platform: Here, operator: Operator, body: Unused) -> CollectedView:
    return environments.collect(platform, body.days)


@router.get("/{digest}")
def show(platform: Here, tenant: Tenant, digest: str) -> EnvironmentView:
    return environments.show(platform, tenant, digest)


@router.delete("/{digest}", status_code=204)
def remove(platform: Here, tenant: Tenant, digest: str) -> None:
    environments.remove(platform, tenant, digest)
