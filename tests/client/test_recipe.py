"""Recipes put together from a file and keys."""

from pathlib import Path

import pytest

from modelyard.client.recipe import assemble
from modelyard.errors import InvalidInput


def test_a_dotted_key_keeps_the_name_that_stood_alone() -> None:
    assert assemble({"net": "mlp"}, {"net.hidden": [5]}) == {"net": {"name": "mlp", "hidden": [5]}}


def test_a_dotted_key_leaves_the_given_recipe_as_it_was() -> None:
    given = {"training": {"epochs": 1}}
    assert assemble(given, {"training.epochs": 2}) == {"training": {"epochs": 2}}
    assert given == {"training": {"epochs": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [1]\nb: [*a, *a]\n", "alias"),
        ("a: 1\na: 2\n", "twice"),
        ("a: [1\n", "no YAML"),
        ("!!python/name:os.system x", "no YAML"),
        ("- 1\n", "table of keys"),
        ("", "table of keys"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=words):
        assemble(tmp_path / "recipe.yaml", {})
