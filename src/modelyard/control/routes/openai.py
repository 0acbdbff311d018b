"""The OpenAI API's files, batches and fine-tuning jobs: every operation of `control.openai`."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from modelyard.control.openai import FILES, batches, files, fine_tuning, fine_tuning_events
from modelyard.control.openai.form import Form, boundary_of
from modelyard.control.openai.wire import Caller, Operation, body_of, from_query, read
from modelyard.control.platform import Platform
from modelyard.control.routes import files as file_answers
from modelyard.control.routes.receiving import receive, size_of
from modelyard.control.routes.request import Here, IdempotencyKey, Tenant
from modelyard.control.services.idempotency import read_once
from modelyard.types.route import KeyGrant

router = APIRouter(include_in_schema=False)
_NOUNS: Final = (files, batches, fine_tuning, fine_tuning_events)


def _add(operation: Operation) -> None:
    async def answer(request: Request, platform: Here, idempotency_key: IdempotencyKey = None) -> Response:
        return await _answer(operation, request, platform, idempotency_key)

    router.add_api_route(operation.path, answer, methods=[operation.method], name=operation.path)


async def _answer(
    operation: Operation, request: Request, platform: Platform, idempotency_key: str | None
) -> Response:
    asked: Any
    grant: KeyGrant = request.state.grant
    if operation.method == "POST":
        body = body_of(await request.body())
        asked = read(operation.asked, body | request.path_params)
        once = read_once(idempotency_key, request.url.path, body)
        caller = Caller(tenant=grant.tenant, key=grant.id, once=once)
    else:
        query = from_query(request.query_params.multi_items())
        asked = read(operation.asked, query | request.path_params, texts=True)
        caller = Caller(tenant=grant.tenant, key=grant.id)
    said = await run_in_threadpool(operation.answer, platform, caller, asked)
    return Response(msgspec.json.encode(said), media_type="application/json")


@router.post(FILES)
async def create_file(request: Request, platform: Here, tenant: Tenant) -> Response:
    """A form, whose file goes straight to disk."""
    boundary, size = boundary_of(request.headers.get("content-type", "")), size_of(request)
    said: dict[str, Any] = {}

    def keep(form: Form) -> None:
        said.update(files.create(platform, tenant, form))

    await receive(request, lambda: files.form(platform, tenant, boundary, size), keep)
    return Response(msgspec.json.encode(said), media_type="application/json")


@router.get(FILES + "/{file}/content")
def file_content(platform: Here, tenant: Tenant, file: str) -> FileResponse:
    return file_answers.answer(files.open_file(platform, tenant, file), attached=True)


for _noun in _NOUNS:
    for _operation in _noun.OPERATIONS:
        _add(_operation)
