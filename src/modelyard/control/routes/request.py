"""What routes take from a request."""

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict

from modelyard.control.platform import Platform
from modelyard.control.services.idempotency import Once, read_once
from modelyard.control.services.pages import MAX_LIMIT, PageRequest


class Body(BaseModel):
    """A request's body: no field that is not known, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _tenant(request: Request) -> str:
    tenant: str = request.state.grant.tenant
    return tenant


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
Paging = Annotated[PageRequest, Depends(_page)]
IdempotencyKey = Annotated[str | None, Header()]
