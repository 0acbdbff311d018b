import math
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
    assert tasks.load("text-generation").check(schema(*names), "") == found


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
