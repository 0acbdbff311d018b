"""Requests and answers: JSON whose every value is checked, with errors that name the parameter."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from modelyard.control.openai.errors import BadParameter
from modelyard.control.platform import Platform
from modelyard.control.services.idempotency import Once
from modelyard.types.ids import new_id

T = TypeVar("T", bound="Asked")
_PLACE: Final = re.compile(r"(.*?) - at `\$\.?([^`]*)`")
_FIELD: Final = re.compile(r".*(?:unknown field|required field) `([^`]+)`")
_ID: Final = re.compile(r"[a-z]+[-_][0-9a-z]{26}")
_MOST_NOTES, _LONGEST_NOTE_KEY, _LONGEST_NOTE = 16, 64, 512


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request says, from its JSON, its query and its path."""


class Nothing(Asked, frozen=True, kw_only=True):
    """A request that says nothing."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks, with the id of their key. `once` is what an Idempotency-Key stands for."""

    tenant: str
    key: str
    once: Once | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`answer(platform, caller, asked)` gives the JSON object of the answer."""

    method: str
    path: str
    asked: type[Asked]
    answer: Callable[[Platform, Caller, Any], Mapping[str, Any]]


def read(kind: type[T], values: Mapping[str, Any], *, texts: bool = False) -> T:
    """`texts`: values are a query's, where numbers are text. Raises BadParameter."""
    present = {name: value for name, value in values.items() if value is not None}
    try:
        return msgspec.convert(present, kind, strict=not texts)
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None


def from_query(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Raises BadParameter for a name that comes twice."""
    values: dict[str, str] = {}
    for name, text in query:
        if name in values:
            raise BadParameter(name[:100], "a parameter comes twice", came=name)
        values[name] = text
    return values


def body_of(raw: bytes) -> dict[str, Any]:
    """The door has looked at it already."""
    value = msgspec.json.decode(raw) if raw else {}
    return value if isinstance(value, dict) else {}


def api_id(kind: str) -> str:
    """As OpenAI writes ids: "file-..."; sorts by the time it was made."""
    return new_id(kind).replace("_", "-")


def is_id(kind: str, text: str) -> bool:
    """Whether `text` can be an id of this kind ("file-", "batch_")."""
    return text.startswith(kind) and _ID.fullmatch(text) is not None


def check_notes(notes: Mapping[str, str] | None) -> dict[str, str]:
    """What the API calls metadata. Raises BadParameter."""
    notes = dict(notes or {})
    good = len(notes) <= _MOST_NOTES and all(
        0 < len(key) <= _LONGEST_NOTE_KEY and len(value) <= _LONGEST_NOTE and "\0" not in key + value
        for key, value in notes.items()
    )
    if not good:
        allowed = (
            f"{_MOST_NOTES} pairs, keys up to {_LONGEST_NOTE_KEY}, values up to {_LONGEST_NOTE} characters"
        )
        raise BadParameter("metadata", "metadata", came=f"{len(notes)} pairs", allowed=allowed)
    return notes


def seconds(time: float | None) -> int | None:
    return None if time is None else int(time)


def listed(views: Sequence[Mapping[str, Any]], more: bool) -> dict[str, Any]:
    """One page, as the stock client goes through it: it asks for what comes after the last id."""
    first, last = (views[0]["id"], views[-1]["id"]) if views else (None, None)
    return {"object": "list", "data": list(views), "first_id": first, "last_id": last, "has_more": more}


def _bad(text: str) -> BadParameter:
    """From "Expected `int`, got `str` - at `$.limit`", "Object contains unknown field `a` - at `$.b`"."""
    place = _PLACE.match(text)
    message, param = (place[1], place[2]) if place else (text, "")
    if field := _FIELD.match(message):
        param = f"{param}.{field[1]}" if param else field[1]
        reason = "unknown_parameter" if "unknown" in message else "missing_required_parameter"
        return BadParameter(param[:100], message, reason=reason)
    return BadParameter(param[:100], f"invalid value for {param[:100] or 'the request'}: {message}")
