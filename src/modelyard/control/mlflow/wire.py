"""Requests and answers: MLflow's JSON is its protobuf's, so an absent field is null, false, 0 or "", numbers may
come as text, and what is not known is passed over."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Struct

from modelyard.control.platform import Platform
from modelyard.errors import InvalidInput, ModelyardError

T = TypeVar("T", bound="Asked")
MOST_RESULTS: Final = 50_000
PAGE_ROWS: Final = 5_000  # a page never holds more; the client goes on with its token


class Asked(Struct, frozen=True, kw_only=True):
    """What a request says, from its JSON, its query and its path."""

    LISTS: ClassVar[frozenset[str]] = frozenset()
    """Fields that may stand in a query more than once."""


class Nothing(Asked, frozen=True, kw_only=True):
    """A request that says nothing."""


class Pair(Struct, frozen=True, kw_only=True):
    """A tag or a parameter."""

    key: str
    value: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`answer(platform, tenant, asked)` gives the JSON object of the answer."""

    method: str
    path: str
    asked: type[Asked]
    answer: Callable[[Platform, str, Any], Mapping[str, Any]]


class AlreadyExists(ModelyardError):
    """What MLflow calls RESOURCE_ALREADY_EXISTS."""

    code = "conflict"


def read(kind: type[T], values: Mapping[str, Any]) -> T:
    """Raises InvalidInput."""
    present = {name: value for name, value in values.items() if value is not None}
    try:
        return msgspec.convert(present, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the request cannot be read: {error}") from None


def from_query(kind: type[Asked], query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Of a GET; a field that is a list may come more than once."""
    values: dict[str, Any] = {}
    for name, text in query:
        if name in kind.LISTS:
            values.setdefault(name, []).append(text)
        else:
            values[name] = text
    return values


def body_of(raw: bytes) -> dict[str, Any]:
    """The door has looked at it already."""
    value = msgspec.json.decode(raw) if raw else {}
    return value if isinstance(value, dict) else {}


def required(name: str, value: str | None) -> str:
    """Raises InvalidInput for what is missing."""
    if not value:
        raise InvalidInput(f"Missing value for required parameter '{name}'")
    return value


def limit_of(asked: int | None, otherwise: int, most: int = MOST_RESULTS) -> int:
    """How many rows a page has. Raises InvalidInput for none or too many."""
    if asked is None:
        return min(otherwise, PAGE_ROWS)
    if not 0 < asked <= most:
        raise InvalidInput("Invalid value for parameter 'max_results'", came=asked, allowed=f"1 to {most}")
    return min(asked, PAGE_ROWS)


def pairs(notes: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in notes.items()]


def notes_of(given: Iterable[Pair]) -> dict[str, str]:
    return {pair.key: pair.value for pair in given}


def filled(**fields: Any) -> dict[str, Any]:
    """Without what is None or an empty list: protobuf leaves it out."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


def as_number(value: float) -> float | str:
    """JSON has no NaN; protobuf says it as text."""
    return "NaN" if value != value else value
