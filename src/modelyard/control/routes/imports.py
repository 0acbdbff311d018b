"""Models that come from elsewhere and go elsewhere, and their cards."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from modelyard.control.routes.request import Body, Here, IdempotencyKey, Tenant, once
from modelyard.control.services import cards, exports, imports
from modelyard.control.services.cards import CardView
from modelyard.control.services.imports import NewImport
from modelyard.control.services.runs import RunView

router = APIRouter(prefix="/api/v1/models", tags=["models"])


class NewModel(Body):
    """Of `uploads`, or of `hub`: "ORG/NAME" of the Hugging Face hub, at `revision`. `paths`: where in a folder each
    of the uploads lies."""

    name: str
    uploads: list[str] = Field(default_factory=list)
    paths: list[str] = Field(default_factory=list)
    hub: str | None = None
    revision: str | None = Field(default=None, max_length=200)
    format: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class NewCard(Body):
    """None goes back to the card that the platform makes."""

    text: str | None


@router.post("/imports", status_code=202)
def create(request: Request, platform: Here, tenant: Tenant, body: NewModel,
           idempotency_key: IdempotencyKey = None) -> RunView:  # fmt: skip
    """Inspect what was uploaded, and queue the run that makes a version of it."""
    asked = NewImport(**body.model_dump())
    return imports.submit(platform, tenant, asked, once(request, idempotency_key, body))


@router.get("/{name}/versions/{version}/bundle", response_class=Response)
def export(platform: Here, tenant: Tenant, name: str, version: str) -> StreamingResponse:
    """The version with its reports, its card and where it comes from, as one zip."""
    bundle = exports.prepare(platform, tenant, name, version)
    headers = {"content-disposition": f'attachment; filename="{bundle.filename}"'}
    return StreamingResponse(exports.stream(bundle), media_type="application/zip", headers=headers)


@router.get("/{name}/versions/{version}/card")
def show_card(platform: Here, tenant: Tenant, name: str, version: str) -> CardView:
    return cards.show(platform, tenant, name, version)


@router.put("/{name}/versions/{version}/card")
def put_card(platform: Here, tenant: Tenant, name: str, version: str, body: NewCard) -> CardView:
    return cards.put(platform, tenant, name, version, body.text)
