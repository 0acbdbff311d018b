"""The OpenAI API, `/v1` (https://platform.openai.com/docs/api-reference/models): the list of models and
the error shape. No model of the present tasks takes a prompt, so its other paths are not found."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from modelyard.dialects.contract import (
    NAME,
    Array,
    Call,
    Catalog,
    Entry,
    Match,
    Operation,
    Paths,
    Request,
    Response,
    Served,
)
from modelyard.errors import NotFound


class OpenAI:
    """See `dialects.contract.Dialect`."""

    name = "openai"
    asks: tuple[str, ...] = ()
    media: tuple[str, ...] | None = ()

    def __init__(self, number: int) -> None:
        self._paths = Paths(number, _TABLE)

    def match(self, method: str, path: str) -> Match | None:
        return self._paths.match(method, path) if path.startswith("/v1/") else None

    def answer(self, match: Match, catalog: Catalog, body: bytes) -> Response:
        if match.operation == "models":
            rows = [_described(entry) for entry in catalog.entries()]
            return Response(200, msgspec.json.encode({"object": "list", "data": rows}))
        entry = catalog.entry(match.model)
        if entry is None:
            raise NotFound(f"no model {match.model!r}")
        return Response(200, msgspec.json.encode(_described(entry)))

    def parse(self, request: Request, model: Served) -> Call:
        raise NotFound("this model does not speak the OpenAI API")

    def render(self, call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
        raise NotFound("this model does not speak the OpenAI API")

    def error(self, status: int, code: str, message: str, request_id: str) -> Response:
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        return Response(status, msgspec.json.encode({"error": error}))


_TABLE: Final = {
    r"/v1/models": {"GET": Operation(name="models")},
    rf"/v1/models/(?P<model>{NAME})": {"GET": Operation(name="model")},
}


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.name,
        "object": "model",
        "created": int(entry.created_at),
        "owned_by": entry.tenant,
    }
