"""Callers' JSON schemas, before an engine makes a grammar of them: small, shallow, and of types that exist.

A grammar can be exponentially larger than its schema, so that what is too large is refused here and not tried.
Source: JSON Schema 2020-12, of which engines know what is checked here.
"""

from collections.abc import Iterator
from typing import Any, Final

from modelyard.errors import InvalidInput

_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
_DEEPEST: Final = 32
_MOST_NODES: Final = 2000
_LONGEST_PATTERN: Final = 256
_MOST_REPEATS: Final = 2000
_REPEATS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def check_schema(schema: Any) -> Any:
    """The schema as it is. Raises InvalidInput naming what is wrong."""
    if not isinstance(schema, dict):
        raise InvalidInput("a JSON schema must be an object", came=type(schema).__name__)
    for nodes, (node, depth) in enumerate(_walk(schema), 1):
        if nodes > _MOST_NODES:
            raise InvalidInput("the JSON schema has too many parts", allowed=_MOST_NODES)
        if depth > _DEEPEST:
            raise InvalidInput("the JSON schema is nested too deeply", allowed=f"{_DEEPEST} levels")
        if isinstance(node, dict):
            _check_node(node)
    return schema


def _walk(schema: Any) -> Iterator[tuple[Any, int]]:
    """Every object and list with its depth; no recursion, for a caller chooses the depth."""
    waiting = [(schema, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        if depth > _DEEPEST:
            continue
        inner = node.values() if isinstance(node, dict) else node
        waiting += [(part, depth + 1) for part in inner if isinstance(part, dict | list)]


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    for name in kind if isinstance(kind, list) else [kind]:
        if isinstance(name, str) and name not in _TYPES:
            raise InvalidInput("the JSON schema has an unknown type", came=name[:50], allowed=_TYPES)
    pattern = node.get("pattern")
    if isinstance(pattern, str) and len(pattern) > _LONGEST_PATTERN:
        raise InvalidInput(
            "a pattern of the JSON schema is too long",
            came=f"{len(pattern)} characters",
            allowed=_LONGEST_PATTERN,
        )
    if isinstance(pattern, str) and _catastrophic(pattern):
        raise InvalidInput(
            "a pattern of the JSON schema repeats what repeats itself",
            came=pattern,
            allowed="one of *, + and {n,m} around another is not",
        )
    for name in _REPEATS:
        value = node.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > _MOST_REPEATS:
            raise InvalidInput(f"{name} of the JSON schema is too large", came=value, allowed=_MOST_REPEATS)


def _catastrophic(pattern: str) -> bool:
    """Whether a group that repeats holds something that repeats, as (a+)+ does."""
    repeating: list[bool] = [False]
    escaped = False
    closed = False  # whether the group that just ended holds a repetition
    for character in pattern:
        if escaped:
            escaped = closed = False
        elif character == "\\":
            escaped = True
        elif character == "(":
            repeating.append(False)
            closed = False
        elif character == ")":
            closed = repeating.pop() if len(repeating) > 1 else False
            repeating[-1] = repeating[-1] or closed
        elif character in "*+{":
            if closed:
                return True
            repeating[-1] = True
            closed = False
        else:
            closed = False
    return False
