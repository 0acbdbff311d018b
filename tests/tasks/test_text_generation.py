import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks.text_generation import GenerationOptions, columns_of
from modelyard.types.dataset import Column, ColumnKind, Schema


def schema(*names: str, kind: ColumnKind = "text") -> Schema:
    return Schema(columns=tuple(Column(name=name, kind=kind) for name in names))


def test_texts_go_in_and_texts_come_out() -> None:
    task = tasks.load("text-generation")
    prepared = task.prepare({})
    arrays = prepared.decode(task.sample("once upon a"))
    assert arrays["text"].tolist() == [b"once upon a"]
    assert prepared.transform(arrays)["text"].tolist() == [b"once upon a"]
    answer = np.array([b" time\xff"], object)
    assert task.encode({"generated_text": answer}, (), {}) == [{"generated_text": " time\ufffd"}]
    signature = task.signature({}, ())
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("text", "BYTES", (-1,))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [("generated_text", "BYTES", (-1,))]


@pytest.mark.parametrize(
    "columns", [{}, {"words": ["x"]}, {"text": []}, {"text": [None]}, {"text": [b"\xff"]}]
)
def test_what_is_no_text_is_refused(columns: Any) -> None:
    with pytest.raises(InvalidInput):
        tasks.load("text-generation").decode(columns, {})


def test_a_text_is_at_most_so_long() -> None:
    with pytest.raises(TooLarge):
        tasks.load("text-generation").decode({"text": ["x" * (1 << 20)]}, {})


@pytest.mark.parametrize(
    ("names", "form", "found"),
    [
        (("text",), "text", ["text"]),
        (("completion", "prompt", "text"), "completion", ["prompt", "completion"]),
        (("id", "messages", "text"), "chat", ["messages"]),
        (("prompt", "text"), "text", ["text"]),
    ],
)
def test_the_columns_say_the_form(names: tuple[str, ...], form: str, found: list[str]) -> None:
    assert columns_of(schema(*names), GenerationOptions()) == (form, found)


def test_the_form_and_names_may_be_said() -> None:
    there = schema("messages", "text", "story")
    assert columns_of(there, GenerationOptions(form="text")) == ("text", ["text"])
    assert columns_of(there, GenerationOptions(form="text", text="story")) == ("text", ["story"])


def test_data_without_texts_is_refused_naming_what_is_there() -> None:
    with pytest.raises(
        InvalidInput, match=r"came: \['prompt'\]; allowed: messages or prompt and completion or text"
    ):
        columns_of(schema("prompt"), GenerationOptions())
    with pytest.raises(InvalidInput, match="the column 'text' holds no texts; came: integer"):
        columns_of(schema("text", kind="integer"), GenerationOptions())
    with pytest.raises(InvalidInput, match="allowed: prompt and completion"):
        columns_of(schema("text"), GenerationOptions(form="completion"))


def test_perplexity_weighs_documents_by_their_tokens() -> None:
    task = tasks.load("text-generation")
    outputs = {"loss": np.array([4.0, 6.0]), "loss_before": np.array([8.0, 12.0])}
    tokens = task.targets([2, 8], ())
    metrics = task.metrics(outputs, tokens, ())
    assert metrics.values == pytest.approx(
        {
            "perplexity": math.e,
            "loss": 1.0,
            "perplexity_before": math.exp(2),
            "loss_before": 2.0,
            "tokens": 10.0,
        }
    )
    assert task.main(outputs, tokens) == pytest.approx(math.e)
    assert (metrics.main, metrics.higher_is_better) == ("perplexity", False)
    assert math.isfinite(task.main({"loss": np.array([1e9])}, np.array([1.0])))


def test_bits_of_a_character_weigh_documents_by_their_characters() -> None:
    task = tasks.load("text-generation")
    outputs = {"loss": np.array([4.0, 6.0]), "tokens": np.array([2.0, 3.0])}
    characters = task.targets(np.array(["fünf.", "fifteen letters"], object), ())
    assert characters.tolist() == [5.0, 15.0]
    metrics = task.metrics(outputs, characters, ())
    assert metrics.main == "bits_per_character"
    assert metrics.values == pytest.approx(
        {
            "bits_per_character": 0.5 / math.log(2),
            "characters": 20.0,
            "perplexity": math.exp(2),
            "loss": 2.0,
            "tokens": 5.0,
        }
    )
    assert task.main(outputs, characters) == pytest.approx(0.5 / math.log(2))


def test_the_column_of_texts_is_found() -> None:
    check = tasks.load("text-generation").check
    assert check(schema("id", "text", "title"), "") == ["text"]
    assert check(
        Schema(columns=(Column(name="n", kind="integer"), Column(name="book", kind="text"))), ""
    ) == ["book"]
    with pytest.raises(InvalidInput, match=r"one column of texts; came: \['a \(text\)', 'b \(text\)'\]"):
        check(schema("a", "b"), "")


def test_windows_are_one_stream_of_all_texts(tmp_path: Path) -> None:
    task = tasks.load("text-generation")
    said = {"text": np.array(["abcabc", "ba"], object)}
    preprocessing = task.fit(said, schema("text"), {"vocabulary": 257, "context": 8}, tmp_path)
    assert (preprocessing["vocabulary"], preprocessing["start"]) == (257, 0)
    found = task.examples(task.prepare(preprocessing, tmp_path), said, None, ())
    a, b, c = found.inputs["input_ids"][0, 1:4].tolist()
    assert found.inputs["input_ids"].tolist() == [[0, a, b, c, a, b, c, 0]]
    assert found.targets["next"].tolist() == [[a, b, c, a, b, c, 0, b]]
    with pytest.raises(InvalidInput, match="missing or blank texts; came: 1 of 2 rows"):
        task.fit({"text": ["a", " "]}, schema("text"), {"vocabulary": 257, "context": 8}, tmp_path)
