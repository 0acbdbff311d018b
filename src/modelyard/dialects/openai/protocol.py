"""The OpenAI API's paths and which file answers each."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import msgspec

from modelyard.dialects.contract import (
    NAME,
    Address,
    Array,
    Call,
    Catalog,
    Conversation,
    Entry,
    Match,
    Operation,
    Paths,
    Request,
    Response,
    Served,
)
from modelyard.dialects.openai import shape
from modelyard.errors import InvalidInput, NotFound

_HERE: Final = "modelyard.dialects.openai."
OPERATIONS: Final = {
    1: "chat",
    2: "completions",
    3: "embeddings",
    4: "audio",
    5: "audio",
    6: "responses",
    7: "images",
}
"""Number in frames -> the module that has `address`, and `converse` (generation) or `parse` and `render`
(batches)."""
TRANSLATIONS: Final = 5


class _Reply(NamedTuple):
    """The module that a call was parsed by, and what it keeps for the answer."""

    module: Any
    own: Any


class OpenAI:
    """See `dialects.contract.Dialect` and `Generating`."""

    name = "openai"
    asks: tuple[str, ...] = ("content-type",)
    media: tuple[str, ...] | None = ("multipart/form-data",)

    def __init__(self, number: int) -> None:
        self._paths = Paths(number, _TABLE)

    def match(self, method: str, path: str) -> Match | None:
        if path.startswith("/v1/") or (path.startswith("/models/") and "/v1/" in path):
            return self._paths.match(method, path)
        return None

    def answer(self, match: Match, catalog: Catalog, body: bytes) -> Response:
        if match.operation == "models":
            rows = [_described(entry) for entry in catalog.entries()]
            return Response(200, msgspec.json.encode({"object": "list", "data": rows}))
        entry = catalog.entry(match.model)
        if entry is None:
            raise NotFound(f"no model {match.model!r}")
        return Response(200, msgspec.json.encode(_described(entry)))

    def address(self, match: Match, headers: Mapping[bytes, bytes], body: bytes) -> Address:
        """See `Generating`."""
        module = _module(match.code)
        found: Address = (
            module.address(body, headers.get(b"content-type", b""))
            if match.code in (4, 5)
            else module.address(body)
        )
        return found._replace(model=match.model) if match.model else found

    def parse(self, request: Request, model: Served) -> Call:
        module = _module(request.operation)
        if not hasattr(module, "parse"):
            raise NotFound(f"model {model.name!r} does not generate text; its task is {model.task.name}")
        call: Call = module.parse(request, model)
        return Call(call.arrays, call.rows, _Reply(module=module, own=call.reply))

    def converse(self, request: Request, model: Served) -> Conversation:
        module = _module(request.operation)
        if not hasattr(module, "converse") or model.abilities is None:
            raise NotFound(f"model {model.name!r} makes no embeddings; its task is {model.task.name}")
        conversation: Conversation = module.converse(request, model, model.abilities)
        return conversation

    def render(self, call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
        reply: _Reply = call.reply
        response: Response = reply.module.render(Call(call.arrays, call.rows, reply.own), outputs, model)
        return response

    def error(self, status: int, code: str, message: str, request_id: str) -> Response:
        return shape.error(status, code, message)


def _module(operation: int) -> Any:
    if operation not in OPERATIONS:
        raise InvalidInput("no such operation", came=operation)
    return import_module(_HERE + OPERATIONS[operation])


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.name,
        "object": "model",
        "created": int(entry.created_at),
        "owned_by": entry.tenant,
    }


def _asked(name: str, code: int) -> dict[str, Operation]:
    return {"POST": Operation(name=name, forward=True, named=True, code=code)}


_TABLE: Final = {
    r"/v1/models": {"GET": Operation(name="models")},
    rf"/v1/models/(?P<model>{NAME})": {"GET": Operation(name="model")},
    r"/v1/chat/completions": _asked("chat", 1),
    rf"/models/(?P<model>{NAME})/v1/chat/completions": _asked("chat", 1),
    r"/v1/completions": _asked("completions", 2),
    r"/v1/embeddings": _asked("embeddings", 3),
    r"/v1/audio/transcriptions": _asked("transcriptions", 4),
    r"/v1/audio/translations": _asked("translations", 5),
    r"/v1/responses": _asked("responses", 6),
    r"/v1/images/generations": _asked("images", 7),
}
