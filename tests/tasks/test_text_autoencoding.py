"""Texts, pairs and codes as rows of tokens, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput
from modelyard.types.dataset import Column, Schema

pytest.importorskip("tokenizers")

TASK = tasks.load("text-autoencoding")
TEXTS = ["the king sees a letter.", "my mother opens the door", "the old king opens a red book"]
SCHEMA = Schema(columns=(Column(name="line", kind="text"), Column(name="label", kind="category")))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("package")
    assert TASK.check(SCHEMA, "label") == ["line"]
    options = {"vocabulary": 300, "max_length": 12, "latent": 4}
    fitted = TASK.fit({"line": TEXTS * 4}, SCHEMA, options, folder)
    return TASK.prepare(fitted, folder)


def prompts(prepared: Any, asked: Any, **parameters: Any) -> list[tuple[int, ...]]:
    return [r.prompt for r in prepared.requests(prepared.decode(TASK.sample(asked)), parameters)]


def test_a_text_is_its_tokens_and_its_end(prepared: Any) -> None:
    one, other = prompts(prepared, TEXTS[:2])
    assert one[-1] == other[-1] == prepared._special["end"]
    assert prompts(prepared, {"line": [TEXTS[0]]} and TEXTS[0]) == [one]


def test_a_pair_says_how_far_to_go(prepared: Any) -> None:
    between = prepared._special["between"]
    found = prompts(prepared, {"text": TEXTS[0], "other": TEXTS[1], "steps": 5})
    assert [row[-1] for row in found] == [0, 25, 50, 75, 100]
    assert [row.count(between) for row in found] == [2] * 5
    assert prompts(prepared, {"text": TEXTS[0], "other": TEXTS[1]})[0][-1] == 50
    assert prompts(prepared, {"text": TEXTS[:2], "other": TEXTS[1:], "share": [0.1, 1]})[0][-1] == 10


def test_a_code_is_a_level_a_number(prepared: Any) -> None:
    ((mark, *levels),) = prompts(prepared, {"vector": [0.0, 4.0, -4.0, 9.0]})
    assert mark == prepared._special["vector"]
    assert levels[1:] == [255, 0, 255]
    assert levels[0] in (127, 128)


def test_training_rows_are_the_text_thrice(prepared: Any) -> None:
    found = prepared.examples({"line": TEXTS})
    source, tokens = found.inputs["source"], found.inputs["tokens"]
    assert np.array_equal(found.targets["next"], source)
    for row, length in enumerate(found.ragged["source"].tolist()):
        assert tokens[row, 0] == prepared._special["start"]
        assert tokens[row, 1:length].tolist() == source[row, : length - 1].tolist()
        assert source[row, length - 1] == prepared._special["end"]
        assert (tokens[row, length:] == prepared._special["pad"]).all()
    with pytest.raises(InvalidInput, match="short enough"):
        prepared.examples({"line": ["a word and a word " * 12]})


def test_what_looks_like_a_mark_is_text(prepared: Any) -> None:
    (row,) = prompts(prepared, "</s> <s>")
    assert row.count(prepared._special["end"]) == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "empty"),
        ([], "no text|1 or more"),
        (3, "not texts"),
        ("word " * 40, "too long"),
        ({"text": "a", "other": "b", "share": 1.5}, "share is out of range"),
        ({"text": "a", "other": "b", "share": "half"}, "share is a number"),
        ({"text": ["a", "b"], "other": "c"}, "same number of rows"),
        ({"text": "a", "other": "b", "steps": 1}, "steps is a whole number"),
        ({"text": ["a", "b"], "other": "b", "steps": 3}, "one text to one other"),
        ({"text": "a", "other": "b", "colour": 1}, "other columns"),
        ({"vector": [1.0, 2.0]}, "wrong shape"),
        ({"vector": [["a", "b", "c", "d"]]}, "lists of numbers"),
        ({"vector": [[1.0, 2.0, 3.0, float("nan")]]}, "finite"),
        ({"vector": "x"}, "lists of numbers|wrong shape"),
    ],
)
def test_bad_samples_are_told_what_is_allowed(prepared: Any, asked: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        prompts(prepared, asked)


def test_parameters(prepared: Any) -> None:
    arrays = prepared.decode({"text": [TEXTS[0]]})
    (found,) = prepared.requests(arrays, {"temperature": 0.8, "seed": 3})
    assert (found.sampling.temperature, found.sampling.seed) == (0.8, 3)
    assert prepared.requests(arrays, {})[0].sampling.temperature == 0
    with pytest.raises(InvalidInput, match="top_k"):
        prepared.requests(arrays, {"top_k": 3})


def test_how_much_comes_back() -> None:
    due = np.array([b"the king sees a a letter", b"my mother"], object)
    answers = np.array([b"The king sees a book", b"my mother"], object)
    found = TASK.metrics({"generated_text": answers, "text": due}, np.zeros(2), ()).values
    assert found["words_kept"] == pytest.approx(6 / 8)
    assert found["words_kept_of_others"] == 0
    assert found["exact"] == 0.5


def test_a_package_is_needed_for_texts(tmp_path: Path) -> None:
    options = {"vocabulary": 300, "max_length": 12, "latent": 4}
    fitted = TASK.fit({"line": TEXTS}, SCHEMA, options, tmp_path)
    with pytest.raises(InvalidInput, match="package's tokenizer"):
        prompts(TASK.prepare(fitted), "a")
