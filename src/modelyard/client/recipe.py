"""A recipe from a file, a dict or single keys. Control says what it may hold; here it is put together."""

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from modelyard.errors import InvalidInput

Recipe = Mapping[str, Any] | str | PathLike[str]


def assemble(recipe: Recipe | None, keys: Mapping[str, Any]) -> dict[str, Any]:
    """`recipe` with `keys` over it; a key may be dotted ("training.epochs"). Raises InvalidInput."""
    read = {} if recipe is None else dict(recipe) if isinstance(recipe, Mapping) else _read(Path(recipe))
    for key, value in keys.items():
        _put(read, key.split("."), value)
    return read


def value_of(text: str) -> Any:
    """A value as YAML reads it: 5, 0.1, 1e-3, true, [1, 2], text."""
    import yaml

    try:
        return _load(text)
    except yaml.YAMLError as error:
        raise InvalidInput("this is no YAML value", came=text) from error


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        read = _load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"the recipe cannot be read: {error.strerror}", came=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput("the recipe is no YAML", came=" ".join(str(error).split())) from error
    if not isinstance(read, dict):
        raise InvalidInput("a recipe is a table of keys", came=type(read).__name__)
    return read


def _load(text: str) -> Any:
    """Safe YAML, in which 1e-3 is the number that it is in YAML 1.2, a key stands once, and no alias makes much
    of little."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise InvalidInput("the recipe has an alias", allowed="values written out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((k for i, k in enumerate(keys) if k in keys[:i]), None)
            if twice is not None:
                raise InvalidInput("the recipe has a key twice", came=twice)
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    return yaml.load(text, Loader=Loader)  # noqa: S506 (a SafeLoader)


def _put(recipe: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a nested key, on copies, so that the caller's own dict stays as it was. A name alone, as in `net: mlp`,
    is short for {name: mlp}."""
    if len(path) == 1:
        recipe[path[0]] = value
        return
    inner = recipe.get(path[0])
    short = {"name": inner} if isinstance(inner, str) else {}
    recipe[path[0]] = dict(inner) if isinstance(inner, Mapping) else short
    _put(recipe[path[0]], path[1:], value)
