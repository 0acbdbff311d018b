"""Models, versions, reports and aliases."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from modelyard.control.routes import files
from modelyard.control.routes.request import Body, Here, Paging, Tenant
from modelyard.control.services import aliases, models, reports
from modelyard.control.services.models import ModelView, VersionView
from modelyard.control.services.pages import Page

router = APIRouter(prefix="/api/v1/models", tags=["models"])


class NewAlias(Body):
    """A number, "latest", or the beginning of a digest."""

    version: int | str


@router.get("")
def index(platform: Here, tenant: Tenant, page: Paging) -> Page[ModelView]:
    return models.list_models(platform, tenant, page)


@router.get("/{name}")
def show(platform: Here, tenant: Tenant, name: str) -> ModelView:
    return models.show(platform, tenant, name)


@router.get("/{name}/versions/{version}")
def show_version(platform: Here, tenant: Tenant, name: str, version: str) -> VersionView:
    return models.show_version(platform, tenant, name, version)


@router.delete("/{name}/versions/{version}", status_code=204)
def delete_version(platform: Here, tenant: Tenant, name: str, version: str) -> None:
    models.delete_version(platform, tenant, name, version)


@router.get("/{name}/versions/{version}/reports/{report}/files/{file:path}")
def show_report_file(platform: Here, tenant: Tenant, name: str, version: str, report: str,
                     file: str) -> FileResponse:  # fmt: skip
    return files.answer(reports.open_file(platform, tenant, (name, version), report, file))


@router.get("/{name}/versions/{version}/files/{file:path}")
def show_file(platform: Here, tenant: Tenant, name: str, version: str, file: str) -> FileResponse:
    return files.answer(models.open_file(platform, tenant, name, version, file))


@router.put("/{name}/aliases/{alias}")
def put_alias(platform: Here, tenant: Tenant, name: str, alias: str, body: NewAlias) -> dict[str, str | int]:
    number = aliases.put(platform, tenant, name, alias, str(body.version))
    return {"alias": alias, "version": number}


@router.delete("/{name}/aliases/{alias}", status_code=204)
def delete_alias(platform: Here, tenant: Tenant, name: str, alias: str) -> None:
    aliases.delete(platform, tenant, name, alias)
