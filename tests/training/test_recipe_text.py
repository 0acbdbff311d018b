import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import InvalidInput, TooLarge
from modelyard.training.recipe_text import read_yaml


def test_numbers_with_an_exponent_are_numbers() -> None:
    assert read_yaml("a: 1e-3\nb: 2.5E4\nc: -1e3\nd: '1e3'\ne: e3") == {
        "a": 0.001, "b": 25000.0, "c": -1000.0, "d": "1e3", "e": "e3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "a key twice, at line 2"),
        ("a: {b: 1, b: 1}", "a key twice, at line 1"),
        ("", "must be a mapping"),
        ("- 1", "must be a mapping"),
        ("text", "must be a mapping"),
        ("a: [", "not YAML"),
        ("a: b: c", "not YAML at line 1"),
        ("\x00", "not YAML"),
        ("a: !!python/object/apply:os.system [true]", "not YAML"),
        ("a: &x [1]\nb: *x", "alias"),
        ("a: " + "[" * 500 + "]" * 500, "nested too deeply"),
        ("a: 2024-99-99", "cannot be read"),
        ("? [1, 2]\n: 3", "not YAML|must be"),
        ("--- {a: 1}\n--- {b: 2}", "not YAML"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_yaml(text)


def test_a_large_text_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge, match="too large"):
        read_yaml("a: " + "x" * 2_000_000)


@given(st.text(alphabet="ab:-[]{}&*!|>?'\"#%@ \n\t0.e,", max_size=60))
def test_any_text_is_a_mapping_or_invalid(text: str) -> None:
    try:
        assert isinstance(read_yaml(text), dict)
    except InvalidInput:
        return
