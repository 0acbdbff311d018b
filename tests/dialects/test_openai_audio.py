"""Transcriptions by a model that answers in batches."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from modelyard import dialects, tasks
from modelyard.dialects import Request, Served
from modelyard.errors import InvalidInput, NotFound

OPENAI = next(d for d in dialects.DIALECTS if d.name == "openai")
TRANSCRIBE, TRANSLATE = 4, 5
SOUND = b"RIFF and so on"


def served(task="automatic-speech-recognition"):
    found = tasks.load(task)
    said = (
        {}
        if task.startswith("automatic")
        else {"column": "x", "frames": 9, "mels": 8, "trim": 1, "max_seconds": 1}
    )
    signature = found.signature(said, ("a",))
    return Served(
        name="m", version="1", signature=signature, labels=(), task=found, prepared=found.prepare(said)
    )


def asked(operation=TRANSCRIBE, **fields):
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in fields.items()
    ]
    file = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + SOUND
        + b"\r\n--b--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return Request(headers, memoryview(b"".join(parts) + file), operation)


def test_a_form_becomes_a_row_and_its_answer_a_text():
    model = served()
    outputs = {"text": np.array([b"two five"], object)}
    call = OPENAI.parse(asked(model="m"), model)
    assert call.arrays["audio"].tolist() == [SOUND]
    assert msgspec.json.decode(OPENAI.render(call, outputs, model).body) == {"text": "two five"}
    call = OPENAI.parse(asked(model="m", response_format="text", language="en"), model)
    plain = OPENAI.render(call, outputs, model)
    assert (plain.body, plain.content_type) == (b"two five\n", "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("operation", "fields", "why"),
    [
        (
            TRANSCRIBE,
            {"response_format": "srt"},
            "response_format of model 'm'; came: srt; allowed: json, text",
        ),
        (TRANSCRIBE, {"stream": "true"}, "answers as a whole"),
        (TRANSLATE, {}, "does not translate"),
    ],
)
def test_what_it_cannot_is_refused_by_name(operation, fields, why):
    with pytest.raises(InvalidInput, match=why):
        OPENAI.parse(asked(operation, **fields), served())


def test_a_model_of_another_task_writes_nothing_down():
    with pytest.raises(NotFound, match="its task is audio-classification"):
        OPENAI.parse(asked(), served("audio-classification"))


def test_embeddings_are_rendered_by_their_own_module():
    model = SimpleNamespace(
        name="m",
        task=tasks.load("feature-extraction"),
        prepared=SimpleNamespace(decode=lambda columns: {"text": np.array(columns["text"], object)}),
        signature=SimpleNamespace(outputs=[SimpleNamespace(name="embedding", shape=(-1, 2))]),
    )
    body = msgspec.json.encode({"model": "m", "input": ["a"]})
    call = OPENAI.parse(Request({}, memoryview(body), 3), model)
    told = msgspec.json.decode(OPENAI.render(call, {"embedding": np.ones((1, 2))}, model).body)
    assert told["data"][0]["embedding"] == [1.0, 1.0]
