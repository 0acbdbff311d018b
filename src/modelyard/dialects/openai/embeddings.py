"""`POST /v1/embeddings`: texts into vectors, by models of the task feature-extraction."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta

from modelyard.dialects.contract import Address, Array, Call, Request, Response, Served, rows_of
from modelyard.dialects.openai.fields import read
from modelyard.errors import InvalidInput, NotFound

TASK: Final = "feature-extraction"
_MOST_TEXTS: Final = 2048


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """See the API reference, "Create embeddings". `dimensions`: the first ones of a vector, at length 1."""

    model: str
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=_MOST_TEXTS)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class _Addressed(msgspec.Struct):
    model: str


class _Reply(msgspec.Struct):
    base64: bool
    dimensions: int | None
    tokens: int


def address(body: bytes) -> Address:
    return Address(model=read(body, _Addressed).model)


def parse(request: Request, model: Served) -> Call:
    body = read(request.body, Body)
    if model.task.name != TASK:
        raise NotFound(f"model {model.name!r} makes no embeddings; its task is {model.task.name}")
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput("input: token ids are not taken", allowed="a text, a list of texts")
    width = model.signature.outputs[0].shape[-1]
    if body.dimensions is not None and body.dimensions > width > 0:
        raise InvalidInput("dimensions", came=body.dimensions, allowed=f"1 to {width}")
    arrays = model.prepared.decode({"text": texts})
    counted = getattr(model.prepared, "count", None)
    tokens = counted(arrays) if counted is not None else 0
    reply = _Reply(base64=body.encoding_format == "base64", dimensions=body.dimensions, tokens=tokens)
    return Call(arrays, rows_of(arrays), reply)


def render(call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
    reply: _Reply = call.reply
    vectors = np.asarray(outputs[model.signature.outputs[0].name], np.float32)
    if not np.isfinite(vectors).all():
        raise InvalidInput("the model answered numbers that are not finite")
    if reply.dimensions is not None:
        vectors = vectors[:, : reply.dimensions]
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    data = [
        {"object": "embedding", "index": row, "embedding": _told(vector, reply)}
        for row, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": reply.tokens, "total_tokens": reply.tokens}
    told = {"object": "list", "data": data, "model": model.name, "usage": usage}
    return Response(200, msgspec.json.encode(told), headers={"x-modelyard-tokens": str(reply.tokens)})


def _told(vector: Array, reply: _Reply) -> Any:
    if reply.base64:
        return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()
    return vector.tolist()
