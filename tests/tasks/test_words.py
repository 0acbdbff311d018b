"""Words that are added, taken away and looked up: of a package's folder with a few known vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelyard import tasks
from modelyard.errors import Corrupt, InvalidInput
from modelyard.tasks.words import MOST, PreparedWords
from modelyard.types.dataset import Column, Schema

TASK = tasks.load("feature-extraction")
WORDS = {
    "king": [1, 0, 1],
    "queen": [1, 1, 0.9],
    "man": [0, 0, 1],
    "woman": [0, 1, 1],
    "apple": [-1, 0.2, -1],
}


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedWords:
    schema = Schema(columns=(Column(name="text", kind="text"),), label=None)
    options = {"min_frequency": 1, "width": 3}
    fitted = TASK.fit({"text": [" ".join(WORDS)]}, schema, options, tmp_path)
    found = TASK.prepare(fitted, tmp_path)
    assert isinstance(found, PreparedWords)
    vectors = [WORDS.get(word, [9, 9, 9]) for word in found.words]
    save_file({"vectors": np.array(vectors, np.float32)}, tmp_path / "weights.safetensors")
    return found


def asked(prepared: PreparedWords, inputs: object, **parameters: object) -> list[object]:
    arrays = prepared.decode(TASK.sample(inputs))
    if parameters:
        arrays = prepared.adjusted(arrays, parameters)
    vectors = {"embedding": np.zeros((len(arrays["text"]), 3), np.float32)}
    return TASK.encode(prepared.complete(arrays, vectors), (), parameters)


def test_neighbours_of_a_word(prepared: PreparedWords) -> None:
    (found,) = asked(prepared, "King", neighbours=2)
    assert [answer["word"] for answer in found] == ["queen", "man"]
    assert found[0]["score"] == pytest.approx(1.9 / np.sqrt(2 * 2.81), abs=1e-5)


def test_words_of_the_text_and_special_ones_are_no_neighbours(prepared: PreparedWords) -> None:
    (found,) = asked(prepared, "king and queen", neighbours=MOST)  # "and" is unknown, and does not matter
    assert {answer["word"] for answer in found} == {"man", "woman", "apple"}


def test_an_analogy(prepared: PreparedWords) -> None:
    inputs = {"positive": ["king", "woman"], "negative": "man"}
    (found,) = asked(prepared, inputs, neighbours=1)
    assert found[0]["word"] == "queen"
    both = asked(prepared, [inputs, "apple"], neighbours=1)
    assert [answer[0]["word"] for answer in both] == ["queen", "woman"]
    in_band = asked(prepared, json.dumps(inputs | {"negative": ["man"]}, separators=(",", ":")), neighbours=1)
    assert in_band == [found]


def test_the_engine_is_fed_signs(prepared: PreparedWords) -> None:
    inputs = ["king queen", {"positive": ["king"], "negative": ["man"]}]
    tensors = prepared.transform(prepared.decode(TASK.sample(inputs)))
    assert tensors["attention_mask"].tolist() == [[1, 1], [1, -1]]
    assert tensors["input_ids"][1].tolist() == [prepared.words.index("king"), prepared.words.index("man")]


def test_vectors_are_answered_where_no_neighbours_are_asked_for(prepared: PreparedWords) -> None:
    assert asked(prepared, ["king", "nonsense"]) == [[0, 0, 0], [0, 0, 0]]
    assert asked(prepared, "king", normalize=True) == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("kingg", "king"),
        ({"positive": ["king"], "negative": ["prince"]}, "prince"),
        ({"positive": []}, "no word to add"),
        ({"positive": ["king"], "minus": ["man"]}, "minus"),
        ({"positive": 1}, "array"),
    ],
)
def test_what_cannot_be_looked_up_is_explained(prepared: PreparedWords, inputs: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        asked(prepared, inputs, neighbours=3)


@pytest.mark.parametrize("count", [0, MOST + 1, True, "3", 2.5])
def test_how_many_neighbours_is_checked(prepared: PreparedWords, count: object) -> None:
    with pytest.raises(InvalidInput, match="neighbours"):
        asked(prepared, "king", neighbours=count)


def test_a_package_without_its_vectors(prepared: PreparedWords, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(Corrupt, match=r"weights\.safetensors"):
        asked(prepared, "king", neighbours=1)


def test_the_report_shows_neighbours_and_analogies(prepared: PreparedWords) -> None:
    columns = {
        "text": np.array(["king", "a sentence of words", "apple"], object),
        "place": np.array([None] * 3),
    }
    nearest, analogies = TASK.exhibits(lambda arrays: {}, prepared, columns, ())
    assert [row[0] for row in nearest.rows] == ["king", "apple"]
    assert nearest.rows[0][1].startswith("queen (0.80)")
    assert analogies.rows[0] == ("man : woman = king : ?", "queen (0.98), apple (-0.63)")
