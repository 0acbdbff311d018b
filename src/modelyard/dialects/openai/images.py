"""`POST /v1/images/generations`: prompts into images, by models of the task text-to-image."""

import base64
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from modelyard.dialects.contract import Address, Adjusting, Array, Call, Request, Response, Served, rows_of
from modelyard.dialects.openai.fields import read
from modelyard.errors import InvalidInput, NotFound

TASK: Final = "text-to-image"
_MOST: Final = 10


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """See the API reference, "Create image". `seed` is of Stability's and others': the same images come again. What
    only says how large a picture is to be made or how well (`quality`, `style`) is not heeded."""

    model: str
    prompt: Annotated[str, Meta(max_length=32_000)]
    n: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    stream: bool | None = None
    seed: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None


class _Addressed(msgspec.Struct):
    model: str


def address(body: bytes) -> Address:
    return Address(model=read(body, _Addressed).model)


def parse(request: Request, model: Served) -> Call:
    body = read(request.body, Body)
    if model.task.name != TASK:
        raise NotFound(f"model {model.name!r} makes no images; its task is {model.task.name}")
    if body.response_format == "url" or body.output_format not in (None, "png") or body.stream:
        raise InvalidInput("images come as PNG files in the answer", allowed="response_format b64_json")
    parameters = _size(body.size) | ({} if body.seed is None else {"seed": body.seed})
    arrays = model.prepared.decode({"text": [body.prompt] * (body.n or 1)})
    if parameters and isinstance(model.prepared, Adjusting):
        arrays = model.prepared.adjusted(arrays, parameters)
    return Call(arrays, rows_of(arrays))


def render(call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
    files = model.task.encode(outputs, model.labels, {})
    data = [{"b64_json": base64.b64encode(file).decode()} for file in files]
    return Response(200, msgspec.json.encode({"created": int(time.time()), "data": data}))


def _size(size: str | None) -> dict[str, Any]:
    """ "28x28" as the task's parameters. Raises InvalidInput."""
    if size in (None, "auto"):
        return {}
    width, _, height = str(size).partition("x")
    if (
        not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit())
        or len(str(size)) > 11
    ):
        raise InvalidInput("size", came=str(size)[:40], allowed='"WIDTHxHEIGHT", "auto"')
    return {"width": int(width), "height": int(height)}
