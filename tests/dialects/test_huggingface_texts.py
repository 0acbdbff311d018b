"""Texts as Hugging Face's client sends them, and what it makes of the answers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from modelyard.dialects import DIALECTS, Request
from modelyard.engines import open_model
from modelyard.errors import InvalidInput, UnknownName
from text_models import LENGTH, vector_of, vector_package

from .conftest import served

HF, OPEN = DIALECTS[1], DIALECTS[0]
LONG = "the wine data set and its features . " * 30
"""More tokens than the model takes."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("vectors")
    vector_package(made)
    return made


@pytest.fixture(scope="module")
def model(folder):
    return open_model(folder)


def ask(data, model, dialect=HF, media="application/json"):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    asked = served(model)
    call = dialect.parse(Request({"content-type": media}, memoryview(body)), asked)
    return json.loads(dialect.render(call, model.predict(call.arrays), asked).body)


def test_one_text_is_answered_with_a_list_of_one_vector(model):
    assert ask({"inputs": "the wine"}, model) == [vector_of("the wine")]
    assert np.array(ask({"inputs": "the wine"}, model)).shape == (1, 2)
    assert ask(b"the wine", model, media="application/octet-stream") == [vector_of("the wine")]


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: {"text": t}, lambda t: {"data": {"text": t}}])
def test_several_texts_are_answered_with_a_vector_each(model, wrap):
    texts = ["the wine", "samples of patients and their features", LONG]
    assert ask({"inputs": wrap(texts)}, model) == [vector_of(text) for text in texts]


def test_parameters_stand_beside_the_inputs_or_below_parameters(model):
    for body in (
        {"normalize": True},
        {"parameters": {"normalize": True}},
        {"normalize": True, "truncate": None},
    ):
        (vector,) = ask({"inputs": "the wine", **body}, model)
        assert np.linalg.norm(vector) == pytest.approx(1)
    (whole,) = ask({"inputs": LONG, "truncate": True}, model)
    assert whole[1] == LENGTH


def test_a_long_text_is_refused_where_it_may_not_be_cut(model):
    assert ask({"inputs": "the wine", "truncate": False}, model) == [vector_of("the wine")]
    with pytest.raises(InvalidInput, match=r"too long; came: \d+ tokens; allowed: 48"):
        ask({"inputs": LONG, "truncate": False}, model)


def test_the_end_of_a_long_text_is_kept_where_that_is_asked_for(model):
    (ended,) = ask({"inputs": f"{LONG} patients", "truncation_direction": "left"}, model)
    assert ended[1] <= LENGTH
    assert ended != vector_of(f"{LONG} patients")


@pytest.mark.parametrize("body", [{"prompt_name": "query"}, {"dimensions": 1}, {"parameters": {"top_k": 1}}])
def test_parameters_that_the_task_has_not_are_refused(model, body):
    with pytest.raises(UnknownName, match="normalize, truncate, truncation_direction"):
        ask({"inputs": "the wine", **body}, model)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": "\\ud800"}', b'{"inputs": ""}', b'{"inputs": []}', b'{"inputs": [""]}', b'{"inputs": 5}',
        b'{"inputs": [["a"]]}', b'{"inputs": {"a": "b"}}', b'{"inputs": true}', b'{"inputs": null}', b'"text"',
        b'{"inputs": "a", "normalize": 5}', b'{"inputs": "a", "truncate": "no"}', b'{"inputs": "a", "truncate": 0}',
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(model, body):
    with pytest.raises(InvalidInput):
        ask(body, model)


def test_the_open_inference_protocol_takes_texts(model):
    texts = ["the wine", LONG]
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}
    (output,) = ask({"inputs": [tensor]}, model, OPEN)["outputs"]
    assert (output["name"], output["shape"]) == ("embedding", [2, 2])
    assert output["data"] == [*vector_of(texts[0]), *vector_of(texts[1])]
    with pytest.raises(InvalidInput):
        ask({"inputs": [{**tensor, "shape": [1, 2]}]}, model, OPEN)


def test_serving_texts_needs_no_framework(folder):
    code = (
        "import sys; from pathlib import Path; from modelyard.engines import open_model;"
        "m = open_model(Path(sys.argv[1]));"
        "m.predict(m.prepared.decode({'text': ['the wine']}));"
        "print([n for n in ('torch', 'transformers', 'tensorflow', 'onnx') if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
