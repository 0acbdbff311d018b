"""What a dialect is, and what passes through it. A new one is one file and one line in `DIALECTS`.

gateway   match ─▶ answer (lists, metadata, readiness)  or  a frame to a replica
replica   parse ─▶ the model ─▶ render, or of models that generate: converse ─▶ the engine ─▶ piece, piece, close
both      error
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from modelyard.dialects.plan import Plan
from modelyard.errors import ModelyardError
from modelyard.types.generation import Abilities, AudioRequest, Delta, TextRequest, Usage
from modelyard.types.replica import Hello
from modelyard.types.tensor import Signature

Array = npt.NDArray[Any]
Access = Literal["open", "predict"]

NAME: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
VERSION: Final = r"[A-Za-z0-9._-]{1,64}"
JSON: Final = "application/json"

STATUS: Final[dict[str, int]] = {
    "invalid_input": 400,
    "unknown_name": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "cancelled": 409,
    "lease_lost": 410,
    "too_large": 413,
    "uri_too_long": 414,
    "unsupported_media_type": 415,
    "format_not_allowed": 422,
    "corrupt": 422,
    "parity_mismatch": 422,
    "missing_extra": 422,
    "script_failed": 422,
    "busy": 429,
    "budget_spent": 429,
    "headers_too_large": 431,
    "internal": 500,
    "replica_lost": 502,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
"""Stable code -> HTTP status, for all dialects."""


class Response(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A path that a dialect knows.

    number    of the dialect in DIALECTS; it travels in frames
    forward   the request goes to a replica with its body as it came
    allowed   methods of the path; `operation` is empty where the request's own is not among them
    task      the task that the path names, or empty
    code      the operation's number; it travels in frames
    named     the body names the model where the path does not: `Dialect.address` finds it
    """

    number: int
    operation: str
    allowed: tuple[str, ...]
    model: str = ""
    version: str = ""
    task: str = ""
    access: Access = "predict"
    forward: bool = False
    code: int = 0
    named: bool = False


class Request(NamedTuple):
    """What reaches a replica: the headers that the dialect asked for, the body as it came, and which operation
    it is (the dialect's own number, `Match.code`)."""

    headers: Mapping[str, str]
    body: memoryview
    operation: int = 0


class Address(NamedTuple):
    """What the gateway has to know of a request whose body names its model.

    prompt     the beginning of what the model reads, in bytes that are alike where prompts are: for routing to the
               replica that has read it before
    most       tokens that the answer may have; None: as many as the context holds
    choices    answers that are asked for, each in a slot of its own
    stream     the answer is to come in pieces
    exact      the same request has the same answer again (greedy, or with a seed)
    """

    model: str
    prompt: bytes = b""
    most: int | None = None
    choices: int = 1
    stream: bool = False
    exact: bool = False


@dataclass(slots=True)
class Call:
    """A parsed request: arrays by the signature's inputs, each with `rows` rows. `reply` is the dialect's
    own."""

    arrays: dict[str, Array]
    rows: int
    reply: Any = None


class Prepared(Protocol):
    """The part of a task's fitted preprocessing that dialects call."""

    def decode(self, columns: Mapping[str, Any]) -> dict[str, Array]: ...


@runtime_checkable
class Adjusting(Protocol):
    """A `Prepared` whose arrays depend on a request's parameters: how long samples are cut, the seed of noise."""

    def adjusted(self, arrays: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Array]:
        """The arrays of `decode` as the parameters want them. Raises InvalidInput."""


@runtime_checkable
class Singling(Protocol):
    """A task whose one sample may be a list or a mapping."""

    def is_single(self, inputs: Any) -> bool:
        """Whether these are one sample, whose answer stands alone and not in a list."""


class Task(Protocol):
    """The part of a task that dialects call (tasks.contract.Task)."""

    @property
    def name(self) -> str: ...

    @property
    def media(self) -> str: ...

    def sample(self, inputs: Any) -> dict[str, Any]: ...

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]: ...


@dataclass(slots=True, kw_only=True)
class Served:
    """The model as dialects see it in a replica. `plan` is the signature made ready for parsing. Of one that
    generates: what its engine can do, and its chat template."""

    name: str
    version: str
    signature: Signature
    labels: tuple[str, ...]
    task: Task
    prepared: Prepared
    chat: "Chat | None" = None
    abilities: Abilities | None = None
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.plan = Plan(self.signature)


class Entry(Protocol):
    """A deployment as the gateway sees it."""

    @property
    def name(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def tenant(self) -> str: ...

    @property
    def created_at(self) -> float: ...

    @property
    def versions(self) -> Sequence[str]:
        """Every version behind the name, the one with most traffic first."""

    def hello(self, version: str) -> Hello | None:
        """What a ready replica of a version ("" for any) said; None where none is ready."""


class Catalog(Protocol):
    """The deployments of one tenant."""

    @property
    def ready(self) -> bool: ...

    def entries(self) -> Iterable[Entry]: ...

    def entry(self, name: str) -> Entry | None: ...


class Dialect(Protocol):
    """One file in dialects/, one line in dialects.DIALECTS."""

    @property
    def name(self) -> str: ...

    @property
    def asks(self) -> tuple[str, ...]:
        """HTTP headers, lower case, that travel to the replica when the caller sent them."""

    @property
    def media(self) -> tuple[str, ...] | None:
        """Content types of a body besides JSON; None where the body itself is looked at."""

    def match(self, method: str, path: str) -> Match | None:
        """Where a request goes; None where the path is not this dialect's."""

    def answer(self, match: Match, catalog: Catalog, body: bytes) -> Response:
        """What needs no model. Raises NotFound, InvalidInput, Unavailable."""

    def parse(self, request: Request, model: Served) -> Call:
        """Raises InvalidInput, TooLarge, UnsupportedMedia."""

    def render(self, call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
        """Raises InvalidInput on parameters that the task does not have."""

    def error(self, status: int, code: str, message: str, request_id: str) -> Response: ...


@runtime_checkable
class Generating(Protocol):
    """A dialect that also speaks of models that generate."""

    def address(self, match: Match, headers: Mapping[bytes, bytes], body: bytes) -> Address:
        """Of a request whose `Match` is `named`, on the gateway. Quick. Raises InvalidInput."""
        ...

    def converse(self, request: Request, model: Served) -> "Conversation":
        """On the replica, in a thread. Raises InvalidInput, TooLarge, DeadlineExceeded (a template)."""
        ...


class Chat(Protocol):
    """A model's chat template. `stops` end an answer besides the model's own end."""

    stops: tuple[str, ...]

    def render(self, messages: Sequence[Mapping[str, Any]], **named: Any) -> str:
        """Raises InvalidInput where the template refuses, DeadlineExceeded where it does not end."""
        ...


class Conversation(Protocol):
    """One request to a generator: what is asked, and how the answer is told. Pieces are told in their order."""

    @property
    def requests(self) -> Sequence[TextRequest | AudioRequest]:
        """One a choice."""
        ...

    @property
    def stream(self) -> bool: ...

    @property
    def content_type(self) -> str:
        """Of a stream."""
        ...

    def piece(self, choice: int, delta: Delta) -> bytes:
        """What to send now; of a whole answer, nothing: it is kept."""
        ...

    def close(self, usage: Usage) -> bytes:
        """The end of a stream."""
        ...

    def whole(self, usage: Usage) -> Response:
        """The answer in one, of all the pieces that there were."""
        ...

    def broken(self, error: ModelyardError) -> bytes:
        """The end of a stream that cannot go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method on one path does. `code` and `named`: see `Match`."""

    name: str
    access: Access = "predict"
    forward: bool = False
    code: int = 0
    named: bool = False


class Paths:
    """A dialect's paths: pattern -> method -> operation. Patterns name their groups model, version, task."""

    def __init__(self, number: int, table: Mapping[str, Mapping[str, Operation]]) -> None:
        self._number = number
        self._table = [
            (re.compile(pattern), dict(methods), tuple(sorted(_allowed(methods))))
            for pattern, methods in table.items()
        ]

    def match(self, method: str, path: str) -> Match | None:
        """The first pattern that the whole path fits. HEAD is answered as GET."""
        for pattern, methods, allowed in self._table:
            if found := pattern.fullmatch(path):
                operation = methods.get("GET" if method == "HEAD" else method)
                return self._match(operation, allowed, found.groupdict(""))
        return None

    def _match(self, operation: Operation | None, allowed: tuple[str, ...], names: dict[str, str]) -> Match:
        if operation is None:
            return Match(number=self._number, operation="", allowed=allowed, access="open")
        return Match(
            number=self._number,
            operation=operation.name,
            allowed=allowed,
            access=operation.access,
            forward=operation.forward,
            code=operation.code,
            named=operation.named,
            **names,
        )


def _allowed(methods: Mapping[str, Operation]) -> set[str]:
    return {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def failure(dialect: Dialect, error: ModelyardError, request_id: str = "") -> Response:
    """An error in the dialect's shape. What is not meant for users says nothing of itself."""
    status = STATUS.get(error.code, 500)
    message = error.message if status != 500 else "internal error"
    return dialect.error(status, error.code, message, request_id)


def rows_of(arrays: Mapping[str, Array]) -> int:
    """The first axis of any of the arrays."""
    return int(np.shape(next(iter(arrays.values())))[0])
