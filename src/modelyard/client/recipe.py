"""A recipe from a file, a dict or single keys. Control says what it may hold; here it is put together."""

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
    """A value as YAML reads it: 5, 0.1, true, [1, 2], text."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput("this is no YAML value", came=text) from error


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"the recipe cannot be read: {error.strerror}", came=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput("the recipe is no YAML", came=" ".join(str(error).split())) from error
    if not isinstance(read, dict):
        raise InvalidInput("a recipe is a table of keys", came=type(read).__name__)
    return read


def _put(recipe: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a nested key, on copies, so that the caller's own dict stays as it was."""
    if len(path) == 1:
        recipe[path[0]] = value
        return
    inner = recipe.get(path[0])
    recipe[path[0]] = dict(inner) if isinstance(inner, Mapping) else {}
    _put(recipe[path[0]], path[1:], value)
