"""The Open Inference Protocol, `/v2` (https://github.com/kserve/open-inference-protocol), with Triton's
binary tensors and model repository extensions. Shared memory is not offered: its paths are not found."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from modelyard.dialects import inference_body
from modelyard.dialects.contract import (
    NAME,
    VERSION,
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
from modelyard.errors import InvalidInput, NotFound, Unavailable
from modelyard.types.tensor import TensorSpec

_VERSION: Final = "0.1.0"
_EXTENSIONS: Final = ["binary_tensor_data", "model_repository"]
_MODEL: Final = rf"/v2/models/(?P<model>{NAME})(?:/versions/(?P<version>{VERSION}))?"
_REPOSITORY: Final = rf"/v2/repository/models/(?P<model>{NAME})"


class OpenInference:
    """See `dialects.contract.Dialect`."""

    name = "open_inference"
    asks = ("inference-header-content-length",)
    media: tuple[str, ...] | None = ("application/octet-stream",)

    def __init__(self, number: int) -> None:
        self._paths = Paths(number, _TABLE)

    def match(self, method: str, path: str) -> Match | None:
        return self._paths.match(method, path) if path.startswith("/v2") else None

    def answer(self, match: Match, catalog: Catalog, body: bytes) -> Response:
        return _ANSWERS[match.operation](match, catalog, body)

    def parse(self, request: Request, model: Served) -> Call:
        return inference_body.parse(request, model)

    def render(self, call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
        return inference_body.render(call, outputs, model)

    def error(self, status: int, code: str, message: str, request_id: str) -> Response:
        return Response(status, msgspec.json.encode({"error": message}))


_TABLE: Final = {
    r"/v2/?": {"GET": Operation(name="server")},
    r"/v2/health/live": {"GET": Operation(name="live", access="open")},
    r"/v2/health/ready": {"GET": Operation(name="ready", access="open")},
    r"/v2/models": {"GET": Operation(name="models")},
    rf"{_MODEL}/infer": {"POST": Operation(name="infer", forward=True)},
    rf"{_MODEL}/ready": {"GET": Operation(name="model_ready")},
    _MODEL: {"GET": Operation(name="model")},
    r"/v2/repository/index": {"POST": Operation(name="index")},
    rf"{_REPOSITORY}/load": {"POST": Operation(name="load")},
    rf"{_REPOSITORY}/unload": {"POST": Operation(name="unload")},
}


class _IndexRequest(msgspec.Struct):
    ready: bool = False


def _server(match: Match, catalog: Catalog, body: bytes) -> Response:
    return _json({"name": "modelyard", "version": _VERSION, "extensions": _EXTENSIONS})


def _live(match: Match, catalog: Catalog, body: bytes) -> Response:
    return _json({"live": True})


def _ready(match: Match, catalog: Catalog, body: bytes) -> Response:
    # Of the server alone: one tenant's broken model must not take the others' gateway out of a load balancer.
    return _json({"ready": True}) if catalog.ready else _json({"ready": False}, 503)


def _models(match: Match, catalog: Catalog, body: bytes) -> Response:
    return _json({"models": [entry.name for entry in catalog.entries()]})


def _model(match: Match, catalog: Catalog, body: bytes) -> Response:
    entry = _entry(match, catalog)
    hello = entry.hello(match.version)
    if hello is None:
        raise Unavailable(f"model {entry.name!r} has no replica that is ready")
    return _json(
        {
            "name": entry.name,
            "versions": list(entry.versions),
            "platform": hello.platform,
            "inputs": [_described(spec) for spec in hello.signature.inputs],
            "outputs": [_described(spec) for spec in hello.signature.outputs],
        }
    )


def _model_ready(match: Match, catalog: Catalog, body: bytes) -> Response:
    entry = _entry(match, catalog)
    ready = entry.hello(match.version) is not None
    return _json({"name": entry.name, "ready": ready}, 200 if ready else 503)


def _index(match: Match, catalog: Catalog, body: bytes) -> Response:
    try:
        request = msgspec.json.decode(body or b"{}", type=_IndexRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("the body is not a repository index request", came=str(error)) from None
    rows = [_state(entry, version) for entry in catalog.entries() for version in entry.versions]
    return _json([row for row in rows if row["state"] == "READY" or not request.ready])


def _load(match: Match, catalog: Catalog, body: bytes) -> Response:
    entry = _entry(match, catalog)
    if entry.hello("") is None:
        raise Unavailable(f"model {entry.name!r} is deployed and not ready yet")
    return _json({})


def _unload(match: Match, catalog: Catalog, body: bytes) -> Response:
    entry = _entry(match, catalog)
    raise InvalidInput(
        f"model {entry.name!r} cannot be unloaded here", allowed="its owner deletes or scales the deployment"
    )


def _entry(match: Match, catalog: Catalog) -> Entry:
    entry = catalog.entry(match.model)
    if entry is None:
        raise NotFound(f"no model {match.model!r}")
    if match.version and match.version not in entry.versions:
        raise NotFound(f"model {match.model!r} has no version {match.version!r}", allowed=entry.versions)
    return entry


def _state(entry: Entry, version: str) -> dict[str, str]:
    ready = entry.hello(version) is not None
    reason = "" if ready else "no replica is ready"
    state = "READY" if ready else "UNAVAILABLE"
    return {"name": entry.name, "version": version, "state": state, "reason": reason}


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(value))


_ANSWERS: Final = {
    "server": _server,
    "live": _live,
    "ready": _ready,
    "models": _models,
    "model": _model,
    "model_ready": _model_ready,
    "index": _index,
    "load": _load,
    "unload": _unload,
}
