"""Reading a user's mapping into a frozen msgspec struct, strictly, with errors that help."""

import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from modelyard.errors import InvalidInput, UnknownName

T = TypeVar("T", bound=msgspec.Struct)


def resolve(struct: type[T], given: Mapping[str, Any], where: str) -> T:
    """`given` as `struct`, its defaults where nothing is given.

    `where` names the place for messages, as "recipe.training". Raises UnknownName (with the nearest known
    key) for a key that the struct does not have, at any depth, and InvalidInput for wrong types and ranges.
    """
    _check_keys(struct, given, where)
    _check_finite(given, where)
    try:
        return msgspec.convert(given, struct, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(_explained(str(error), where), came=_value_at(given, str(error))) from None


def _check_keys(struct: type[Any], given: object, where: str) -> None:
    if not isinstance(given, Mapping):
        raise InvalidInput(
            f"{where} must be a mapping", came=type(given).__name__, allowed=struct.__struct_fields__
        )
    known = (*struct.__struct_fields__, *_tag_field(struct))
    hints = _hints(struct)  # type: ignore[arg-type]  # a class is hashable
    for key, value in given.items():
        if key not in known:
            raise UnknownName("key", str(key), known, where=where)
        if key in hints and isinstance(value, Mapping):
            inner = _struct_for(hints[key], value, f"{where}.{key}")
            if inner is not None:
                _check_keys(inner, value, f"{where}.{key}")


@functools.cache
def _hints(struct: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(struct)


def _struct_for(hint: object, value: Mapping[str, Any], where: str) -> type[Any] | None:
    """The struct of a type hint that a value is to be read into: the only one, or by its tag, or None."""
    structs = _structs_in(hint)
    if len(structs) < 2:
        return structs[0] if structs else None
    (field,) = _tag_field(structs[0])
    by_tag = {s.__struct_config__.tag: s for s in structs}
    tag = value.get(field)
    if tag not in by_tag:
        raise UnknownName(field, str(tag), by_tag, where=where)
    return by_tag[tag]


def _structs_in(hint: object) -> list[type[Any]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [s for part in typing.get_args(hint) for s in _structs_in(part)]
    return []


def _tag_field(struct: type[Any]) -> tuple[str, ...]:
    field = struct.__struct_config__.tag_field
    return (field,) if field else ()


def _check_finite(given: object, where: str) -> None:
    if isinstance(given, float) and not math.isfinite(given):
        raise InvalidInput(f"{where} is not a finite number", came=given)
    items = (
        given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    )
    for key, value in items:
        _check_finite(value, f"{where}.{key}")


def _explained(message: str, where: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.epochs`" with our place in front."""
    text, _, path = message.partition(" - at `$")
    return f"{where}{path.rstrip('`')}: {text}"


def _value_at(given: object, message: str) -> object:
    """The value that a message's path points to, or None where it cannot be followed."""
    path = message.partition(" - at `$.")[2].rstrip("`")
    for key in path.split(".") if path else ():
        if not isinstance(given, Mapping) or key not in given:
            return None
        given = given[key]
    return given if path else None
