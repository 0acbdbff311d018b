"""YAML, safely: no tags, no duplicate keys, bounded size and depth, no aliases that multiply."""

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from modelyard.errors import InvalidInput, TooLarge

_MOST_BYTES: Final = 1_000_000
_MOST_DEPTH: Final = 20


def read_yaml(text: str) -> Mapping[str, Any]:
    """A mapping from YAML text. Raises TooLarge above 1 MB and InvalidInput on all that is not a plain
    mapping."""
    if len(text.encode("utf-8", "replace")) > _MOST_BYTES:
        raise TooLarge(
            "the recipe is too large", came=f"{len(text)} characters", allowed=f"{_MOST_BYTES} bytes"
        )
    try:
        _check_events(text)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise InvalidInput(
            f"the recipe is not YAML{place}: {getattr(error, 'problem', None) or error}"
        ) from None
    except (ValueError, OverflowError) as error:  # a date or number that Python cannot hold
        raise InvalidInput(f"the recipe holds a value that cannot be read: {error}") from None
    if not isinstance(value, Mapping):
        raise InvalidInput(
            "the recipe must be a mapping", came=type(value).__name__, allowed="task: ..., data: ..."
        )
    return value


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, and reads 1e-3 as the number that it is (YAML 1.2)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in keys:
                raise InvalidInput(
                    f"the recipe has a key twice, at line {key_node.start_mark.line + 1}", came=key
                )
            keys.append(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise InvalidInput(
                "the recipe has an alias", came=f"*{event.anchor}", allowed="values written out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise InvalidInput("the recipe is nested too deeply", allowed=f"{_MOST_DEPTH} levels")
