"""Deployments."""

from fastapi import APIRouter, Request
from pydantic import Field

from modelyard.control.routes.request import Body, Here, IdempotencyKey, Paging, Tenant, once
from modelyard.control.services import deployments
from modelyard.control.services.deployment_views import DeploymentView
from modelyard.control.services.deployments import NewDeployment
from modelyard.control.services.pages import Page
from modelyard.control.services.serving import ServingSettings
from modelyard.errors import InvalidInput

router = APIRouter(prefix="/api/v1/deployments", tags=["deployments"])


class Deploy(Body):
    """`version` is a number, "latest", or the beginning of a digest; without it and `alias`, the newest."""

    name: str
    model: str
    version: int | str | None = None
    alias: str | None = None
    replicas: int = 1
    serving: ServingSettings = Field(default_factory=dict)


class Change(Body):
    """`split` maps a version to its share of the requests. Of `serving`, what is named is set, and null takes a
    value back. A change of its slots, context or threads starts the replicas anew, one after the other: a version
    with one replica alone answers nothing until it has loaded again."""

    replicas: int | None = None
    split: dict[str, float] | None = None
    serving: ServingSettings | None = None


@router.get("")
def index(platform: Here, tenant: Tenant, page: Paging) -> Page[DeploymentView]:
    return deployments.list_deployments(platform, tenant, page)


@router.post("", status_code=202)
def create(request: Request, platform: Here, tenant: Tenant, body: Deploy,
           idempotency_key: IdempotencyKey = None) -> DeploymentView:  # fmt: skip
    """Put a version behind a name; it serves when its state is "ready"."""
    asked = NewDeployment(
        name=body.name,
        model=body.model,
        version=None if body.version is None else str(body.version),
        alias=body.alias,
        replicas=body.replicas,
        serving=body.serving,
    )
    return deployments.create(platform, tenant, asked, once(request, idempotency_key, body))


@router.get("/{name}")
def show(platform: Here, tenant: Tenant, name: str) -> DeploymentView:
    return deployments.show(platform, tenant, name)


@router.patch("/{name}")
def change(platform: Here, tenant: Tenant, name: str, body: Change) -> DeploymentView:
    if body.replicas is None and body.split is None and body.serving is None:
        raise InvalidInput("nothing to change", allowed="replicas, split, serving")
    asked = deployments.Change(replicas=body.replicas, split=body.split, serving=body.serving)
    return deployments.change(platform, tenant, name, asked)


@router.delete("/{name}", status_code=204)
def delete(platform: Here, tenant: Tenant, name: str) -> None:
    deployments.delete(platform, tenant, name)
