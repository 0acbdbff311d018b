"""Hugging Face tasks: `POST /models/{m}` and `/models/{m}/pipeline/{task}`
(https://huggingface.co/docs/inference-providers/tasks), as huggingface_hub's InferenceClient speaks it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from modelyard.dialects import huggingface_generation, huggingface_whole
from modelyard.dialects.contract import (
    NAME,
    Address,
    Adjusting,
    Array,
    Call,
    Catalog,
    Conversation,
    Match,
    Operation,
    Paths,
    Request,
    Response,
    Served,
    Singling,
    Task,
    rows_of,
)
from modelyard.errors import InvalidInput, NotFound, UnsupportedMedia

MAX_DEPTH: Final = 100
_WHITE: Final = b" \t\r\n"
_JSON_STARTS: Final = b'{["'
# RFC 2046 media; the client names none for raw images, and HTTP libraries then put their own default.
_KNOWN: Final = ("application/json", "application/octet-stream")
_KNOWN_FAMILIES: Final = ("image/", "audio/")
_MAGIC: Final = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"BM",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"fLaC",
    b"ID3",
    b"OggS",
)


class HuggingFace:
    """See `dialects.contract.Dialect`."""

    name = "huggingface"
    asks = ("content-type",)
    media: tuple[str, ...] | None = None

    def __init__(self, number: int) -> None:
        self._paths = Paths(number, _TABLE)

    def match(self, method: str, path: str) -> Match | None:
        return self._paths.match(method, path) if path.startswith("/models/") else None

    def answer(self, match: Match, catalog: Catalog, body: bytes) -> Response:
        raise NotFound(f"no answer to {match.operation!r} here")

    def address(self, match: Match, headers: Mapping[bytes, bytes], body: bytes) -> Address:
        """See `Generating`."""
        return huggingface_generation.address(match.model, body)

    def converse(self, request: Request, model: Served) -> Conversation:
        """See `Generating`."""
        if model.abilities is None:
            raise NotFound(f"model {model.name!r} does not generate")
        if model.task.name not in huggingface_generation.TASKS:
            body = _decode(request.body)
            columns = model.task.sample(_inputs(body))
            return huggingface_whole.converse(columns, _parameters(body, model.task.name), model)
        return huggingface_generation.converse(request, model, model.abilities)

    def parse(self, request: Request, model: Served) -> Call:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if _is_json(request.body, media):
            return _parse_json(request.body, model)
        single = model.task.name not in _OWN_LIST
        return _call(model.task.sample(bytes(request.body)), model, _Reply(single=single, parameters={}))

    def render(self, call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
        reply: _Reply = call.reply
        answers = model.task.encode(outputs, model.labels, reply.parameters)
        if reply.single and isinstance(answers[0], bytes):
            return Response(200, answers[0], model.task.media)
        return Response(200, msgspec.json.encode(answers[0] if reply.single else answers))

    def error(self, status: int, code: str, message: str, request_id: str) -> Response:
        return Response(status, msgspec.json.encode({"error": message}))


_PREDICT: Final = Operation(name="predict", forward=True)
_TABLE: Final = {
    rf"/models/(?P<model>{NAME})": {"POST": _PREDICT},
    rf"/models/(?P<model>{NAME})/pipeline/(?P<task>[a-z0-9-]{{1,64}})": {"POST": _PREDICT},
}


_OWN_LIST: Final = ("text-classification", "feature-extraction")
"""Tasks whose answer to one value is a list of one, as Hugging Face's servers answer: the client takes the first
of it, or makes [1, width] of it."""


class _Body(Struct):
    """Other members, as the older `options`, are ignored as Hugging Face's own server does. The last ones are
    parameters of feature-extraction, which its client sends here and not below `parameters`."""

    inputs: Any = UNSET
    table: dict[str, Any] | UnsetType = UNSET
    parameters: dict[str, Any] | None = None
    normalize: Any = None
    truncate: Any = None
    truncation_direction: Any = None
    prompt_name: Any = None
    dimensions: Any = None


_BESIDE: Final = ("normalize", "truncate", "truncation_direction", "prompt_name", "dimensions")


class _Reply(Struct):
    """`single`: one value came, so its answer stands alone and not in a list."""

    single: bool
    parameters: dict[str, Any]


def _is_json(body: memoryview, media: str) -> bool:
    """Whether the body is to be read as JSON. Raises UnsupportedMedia where it is neither that nor a
    sample."""
    start = bytes(body[:64]).lstrip(_WHITE)[:1]
    looks = start != b"" and start in _JSON_STARTS
    known = not media or media in _KNOWN or media.startswith(_KNOWN_FAMILIES)
    if media == "application/json" or (looks and known):
        return True
    if not known and not bytes(body[:4]).startswith(_MAGIC):
        raise UnsupportedMedia("content type", came=media, allowed=[*_KNOWN, "image/*"])
    return False


def _parse_json(text: memoryview, model: Served) -> Call:
    body = _decode(text)
    parameters = _parameters(body, model.task.name)
    inputs = _inputs(body)
    single = _is_single(model.task, inputs)
    return _call(model.task.sample(inputs), model, _Reply(single=single, parameters=parameters))


def _inputs(body: _Body) -> Any:
    if body.table is not UNSET:
        return body.table
    if body.inputs is UNSET:
        raise InvalidInput("the body has no inputs", allowed='{"inputs": ..., "parameters": {...}}')
    return body.inputs


def _is_single(task: Task, inputs: Any) -> bool:
    """Whether this is one value, whose answer stands alone."""
    if isinstance(task, Singling):
        return task.is_single(inputs)
    return not isinstance(inputs, dict | list) and task.name not in _OWN_LIST


def _parameters(body: _Body, task: str) -> dict[str, Any]:
    given = body.parameters or {}
    if task != "feature-extraction":
        return given
    return {n: v for n in _BESIDE if (v := getattr(body, n)) is not None} | given


def _decode(text: memoryview) -> _Body:
    try:
        body = msgspec.json.decode(text, type=_Body)
    except (UnicodeDecodeError, RecursionError):
        raise InvalidInput(
            "the body is not valid JSON", allowed=f"UTF-8, at most {MAX_DEPTH} levels deep"
        ) from None
    except msgspec.DecodeError as error:
        raise InvalidInput("the body is not a request", came=str(error)) from None
    if _deeper_than(
        MAX_DEPTH, (body.inputs, body.table, body.parameters, *(getattr(body, n) for n in _BESIDE))
    ):
        raise InvalidInput("the body is nested too deep", allowed=f"{MAX_DEPTH} levels")
    return body


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    """The lists and dicts directly in a value."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [inner for inner in value if isinstance(inner, dict | list | tuple)]


def _call(columns: dict[str, Any], model: Served, reply: _Reply) -> Call:
    arrays = model.prepared.decode(columns)
    if reply.parameters and isinstance(model.prepared, Adjusting):
        arrays = model.prepared.adjusted(arrays, reply.parameters)
    return Call(arrays, rows_of(arrays), reply)
