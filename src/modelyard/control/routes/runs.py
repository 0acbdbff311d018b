"""Runs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from modelyard.control.routes.request import Body, Here, IdempotencyKey, Paging, Tenant, once
from modelyard.control.services import run_folders, runs
from modelyard.control.services.pages import Page
from modelyard.control.services.runs import RunView

router = APIRouter(prefix="/api/v1/runs", tags=["runs"])


class NewRun(Body):
    """`params` of a `train` run is its recipe."""

    kind: str
    params: dict[str, Any] = Field(default_factory=dict)


@router.get("")
def index(platform: Here, tenant: Tenant, page: Paging) -> Page[RunView]:
    """The newest first."""
    return runs.list_runs(platform, tenant, page)


@router.post("", status_code=202)
def create(request: Request, platform: Here, tenant: Tenant, body: NewRun,
           idempotency_key: IdempotencyKey = None) -> RunView:  # fmt: skip
    """Queue a run."""
    return runs.submit(platform, tenant, body.kind, body.params, once(request, idempotency_key, body))


@router.get("/{run}")
def show(platform: Here, tenant: Tenant, run: str) -> RunView:
    return runs.show(platform, tenant, run)


@router.get("/{run}/metrics")
def metrics(platform: Here, tenant: Tenant, run: str) -> dict[str, dict[str, list[list[float]]]]:
    """{"metrics": {name: [[step, value], ...]}}."""
    return {"metrics": runs.metrics(platform, tenant, run)}


@router.get("/{run}/log", response_class=Response)
def log(
    platform: Here, tenant: Tenant, run: str, offset: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> Response:
    """At most 1 MiB of what it printed, from byte `offset`; nothing at the end."""
    attempts = runs.show(platform, tenant, run).attempt
    text = run_folders.read_log(platform, run, attempts, offset)
    return Response(text, media_type="text/plain; charset=utf-8")


@router.post("/{run}/retry", status_code=202)
def retry(request: Request, platform: Here, tenant: Tenant, run: str,
          idempotency_key: IdempotencyKey = None) -> RunView:  # fmt: skip
    """Queue the same work again, on the same versions."""
    return runs.retry(platform, tenant, run, once(request, idempotency_key, Body()))


@router.post("/{run}/cancel")
def cancel(platform: Here, tenant: Tenant, run: str) -> RunView:
    return runs.cancel(platform, tenant, run)
