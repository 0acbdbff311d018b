"""What routes take from a request."""

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict

from modelyard.control.platform import Platform
from modelyard.control.services import tenants
from modelyard.control.services.idempotency import Once, read_once
from modelyard.control.services.pages import MAX_LIMIT, PageRequest
from modelyard.errors import Forbidden
from modelyard.store.tables import DEFAULT_TENANT


class Body(BaseModel):
    """A request's body: no field that is not known, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _tenant(request: Request) -> str:
    tenant: str = request.state.grant.tenant
    return tenant


def _managed(
    request: Request, platform: "Here", tenant: Annotated[str | None, Query(max_length=100)] = None
) -> str:
    """`tenant`: another one than the key's own, for an admin of the first tenant. Raises Forbidden, NotFound."""
    own = _tenant(request)
    if tenant is None or tenant == own:
        return own
    _operator(request)
    return tenants.known(platform, tenant)


def _operator(request: Request) -> str:
    """Raises Forbidden for keys of other tenants than the first."""
    own = _tenant(request)
    if own != DEFAULT_TENANT:
        raise Forbidden("this key manages what its own tenant has", allowed=f"admin of {DEFAULT_TENANT!r}")
    return own


def _page(
    platform: "Here",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> PageRequest:
    return PageRequest(limit=limit, cursor=cursor, secret=platform.secret)


def once(request: Request, key: str | None, body: Body) -> Once | None:
    """What an Idempotency-Key stands for."""
    asked: dict[str, Any] = body.model_dump(mode="json")
    return read_once(key, request.url.path, asked)


Here = Annotated[Platform, Depends(_platform)]
Tenant = Annotated[str, Depends(_tenant)]
Managed = Annotated[str, Depends(_managed)]
Operator = Annotated[str, Depends(_operator)]
Paging = Annotated[PageRequest, Depends(_page)]
IdempotencyKey = Annotated[str | None, Header()]
