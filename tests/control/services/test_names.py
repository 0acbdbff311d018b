import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.control.services.names import (
    Selector,
    check_name,
    known_id,
    known_name,
    read_reference,
    read_selector,
)
from modelyard.errors import InvalidInput, NotFound
from modelyard.types.ids import new_id

BAD = ["", ".a", "-a", "A", "a b", "a/b", "../a", "a\n", "a\0", "é", "a" * 64, "a:1", "a@b"]


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="allowed: a-z"):
        check_name("model", name)
    with pytest.raises(NotFound):
        known_name("model", name)
    with pytest.raises(NotFound):
        known_id("run", name)


def test_names_and_ids() -> None:
    for name in ("a", "0", "a.b_c-d", "a" * 63):
        assert check_name("model", name) == known_name("model", name) == name
    run = new_id("run")
    assert known_id("run", run) == run


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("3", Selector(number=3)),
        ("latest", Selector()),
        ("@champion", Selector(alias="champion")),
        ("12345678", Selector(digest="12345678")),
        ("abcdef01", Selector(digest="abcdef01")),
        ("0" * 64, Selector(digest="0" * 64)),
    ],
)
def test_selectors(text: str, selector: Selector) -> None:
    assert read_selector(text) == selector
    reference = f"digits{text}" if text.startswith("@") else f"digits:{text}"
    assert read_reference(reference) == ("digits", selector)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "v3", "@", "@A", "abcdef0", "0" * 65, "٣", "²"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a version"):
        read_selector(text)


def test_a_bare_name_is_the_newest() -> None:
    assert read_reference("digits") == ("digits", Selector())


@given(st.text())
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        name, _ = read_reference(text)
    except InvalidInput:
        return
    assert check_name("model", name) == name
