from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import InvalidInput, ModelyardError, TooLarge
from modelyard.packages.card import check_card, licence_of, read_header, write_card

HEADER: dict[str, Any] = {
    "license": "apache-2.0",
    "language": ["en", "de"],
    "tags": ["modelyard"],
    "model-index": [
        {
            "name": "x",
            "results": [
                {
                    "task": {"type": "t"},
                    "dataset": {"type": "d", "name": "d"},
                    "metrics": [{"type": "f1", "value": 0.5}],
                }
            ],
        }
    ],
}


def test_a_card_is_read_as_it_was_written() -> None:
    text = write_card(HEADER, "# A model\n\nGood for nothing.\n")
    assert check_card(text) == HEADER
    assert text.endswith("Good for nothing.\n")
    assert licence_of(text.encode()) == "apache-2.0"


def test_the_hub_reads_it_too() -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(write_card(HEADER, "# A model\n"))
    assert card.data.license == "apache-2.0"
    assert card.data.eval_results is not None
    assert card.data.eval_results[0].metric_value == 0.5


@pytest.mark.parametrize("text", ["", "# no header\n", "----\nlicense: x\n", "---\n---\n# empty header"])
def test_without_a_header(text: str) -> None:
    assert read_header(text) == {}
    assert check_card(text) == {}
    assert licence_of(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\nlicense: x\n", "does not end"),
        ("---\n- a\n---\n", "names and values"),
        ("---\na: b: c\n---\n", "no YAML"),
        ("---\na: &x [1]\nb: *x\n---\n", "alias"),
        ("---\na: !!python/object/apply:os.system ['true']\n---\n", "no YAML"),
        ("---\nlicense: [1]\n---\n", "license"),
        ("---\ntags: [1]\n---\n", "tags"),
        ("---\nmodel-index: {a: 1}\n---\n", "model-index"),
        ("---\nmodel-index: [{name: 1}]\n---\n", "model-index"),
        ("a\0b", "text"),
        ("---\n1: 2\n---\n", "names and values"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_card(text)


def test_limits() -> None:
    with pytest.raises(TooLarge):
        check_card("x" * (257 << 10))
    with pytest.raises(TooLarge):
        read_header("---\na: " + "x" * (65 << 10) + "\n---\n")
    with pytest.raises(TooLarge, match="too many"):
        read_header("---\na: [" + "1," * 20_000 + "]\n---\n")
    with pytest.raises(InvalidInput):
        read_header("---\na: " + "[" * 5_000 + "]" * 5_000 + "\n---\n")


@given(st.text())
def test_no_text_raises_another_error(text: str) -> None:
    for card in (text, f"---\n{text}\n---\n"):
        try:
            check_card(card)
        except ModelyardError:
            continue
