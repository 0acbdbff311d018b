"""MLflow's REST: every operation of `control.mlflow`, and its artifacts as they stream."""

from typing import Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from modelyard.control.mlflow import (
    VERSION,
    experiments,
    files,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    run_search,
    runs,
)
from modelyard.control.mlflow.wire import Operation, body_of, from_query, read
from modelyard.control.platform import Platform
from modelyard.control.routes import files as file_answers
from modelyard.control.routes.receiving import receive, size_of
from modelyard.control.routes.request import Here, Tenant

router = APIRouter(include_in_schema=False)
_NOUNS: Final = (
    experiments,
    runs,
    metrics,
    run_search,
    files,
    logged_models,
    registered_models,
    model_versions,
)
_BASE: Final = "/api/2.0/mlflow"
_FILES: Final = "/api/2.0/mlflow-artifacts/artifacts"
_SERVER: Final = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
}


def _add(operation: Operation, path: str) -> None:
    async def answer(request: Request, platform: Here, tenant: Tenant) -> Response:
        return await _answer(operation, request, platform, tenant)

    router.add_api_route(path, answer, methods=[operation.method], name=path)


async def _answer(operation: Operation, request: Request, platform: Platform, tenant: str) -> Response:
    values = from_query(operation.asked, request.query_params.multi_items())
    values |= body_of(await request.body())
    asked = read(operation.asked, values | request.path_params)
    said = await run_in_threadpool(operation.answer, platform, tenant, asked)
    return Response(msgspec.json.encode(said), media_type="application/json")


for _noun in _NOUNS:
    for _operation in _noun.OPERATIONS:
        _add(_operation, _BASE + _operation.path)
_add(files.LIST_PATH, files.LIST_PATH.path)


@router.get("/version")
def version() -> Response:
    """Open to everyone: the version of MLflow whose words are spoken here."""
    return Response(VERSION, media_type="text/plain")


@router.get("/api/3.0/mlflow/server-info")
def server_info(tenant: Tenant) -> dict[str, object]:
    """What newer clients ask before they send or fetch a large file."""
    return dict(_SERVER)


@router.put(_FILES + "/{path:path}")
async def upload(request: Request, platform: Here, tenant: Tenant, path: str) -> Response:
    size = size_of(request)
    await receive(
        request,
        lambda: files.begin(platform, tenant, path, size),
        lambda writer: files.finish(platform, tenant, path, writer),
    )
    return Response(b"{}", media_type="application/json")


@router.get(_FILES + "/{path:path}")
def download(platform: Here, tenant: Tenant, path: str) -> FileResponse:
    return file_answers.answer(files.open_file(platform, tenant, path), attached=True)


@router.delete(_FILES + "/{path:path}")
def delete(platform: Here, tenant: Tenant, path: str) -> Response:
    files.delete(platform, tenant, path)
    return Response(b"{}", media_type="application/json")
