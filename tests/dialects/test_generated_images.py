"""Images that are made: the Hugging Face form, the OpenAI form, and the protocol of tensors."""

import base64
import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard import tasks
from modelyard.dialects import DIALECTS, Request, Served
from modelyard.errors import InvalidInput, NotFound

LABELS = ("Bag", "Shirt")
FITTED = {"column": "image", "mode": "L", "size": [4, 4], "mean": [100.0], "std": [50.0], "latent": 3,
          "labels": list(LABELS), "target": "label"}  # fmt: skip
HUGGING_FACE, OPENAI = DIALECTS[1], DIALECTS[2]
IMAGES = 7


def served(name: str) -> Served:
    task = tasks.load(name)
    labels = LABELS if name == "text-to-image" else ()
    return Served(
        name="made",
        version="1",
        signature=task.signature(FITTED, labels),
        labels=labels,
        task=task,
        prepared=task.prepare(FITTED),
    )


def answered(dialect: Any, body: Any, model: Served, operation: int = 0) -> tuple[Any, str, np.ndarray]:
    """The answer of a model that makes all of an image as bright as its first value of noise says."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = dialect.parse(Request({"content-type": "application/json"}, memoryview(raw), operation), model)
    noise = model.prepared.transform(call.arrays)["noise"]
    bright = np.broadcast_to(1 / (1 + np.exp(-noise[:, :1, None, None])), (len(noise), 4, 4, 1))
    response = dialect.render(call, {"image": bright.astype(np.float32)}, model)
    return response.body, response.content_type, bright


def shade(file: bytes) -> int:
    return int(np.asarray(Image.open(io.BytesIO(file)))[0, 0])


def test_a_prompt_alone_is_answered_with_a_file() -> None:
    body, media, bright = answered(
        HUGGING_FACE, {"inputs": "Bag", "parameters": {"seed": 3}}, served("text-to-image")
    )
    assert media == "image/png"
    assert shade(body) == round(float(bright[0, 0, 0, 0]) * 255)
    again, _, _ = answered(
        HUGGING_FACE, {"inputs": "Bag", "parameters": {"seed": 3}}, served("text-to-image")
    )
    assert body == again


def test_several_prompts_are_answered_with_a_list() -> None:
    body, media, bright = answered(HUGGING_FACE, {"inputs": ["Bag", "Shirt"]}, served("text-to-image"))
    assert media == "application/json"
    files = [base64.b64decode(text) for text in json.loads(body)]
    assert [shade(file) for file in files] == np.rint(bright[:, 0, 0, 0] * 255).astype(int).tolist()


@pytest.mark.parametrize("inputs", [None, "", 7])
def test_an_image_of_nothing(inputs: Any) -> None:
    body, media, _ = answered(HUGGING_FACE, {"inputs": inputs}, served("unconditional-image-generation"))
    assert media == "image/png"
    assert body.startswith(b"\x89PNG")


def test_a_list_of_seeds() -> None:
    body, _, _ = answered(HUGGING_FACE, {"inputs": [7, 7, 8]}, served("unconditional-image-generation"))
    first, second, third = json.loads(body)
    assert first == second
    assert first != third


def test_what_the_model_does_not_have_is_refused_by_name() -> None:
    for body, said in (
        ({"inputs": "Hat"}, "unknown label 'Hat'"),
        ({"inputs": "Bag", "parameters": {"num_inference_steps": 4}}, "num_inference_steps"),
        ({"inputs": "Bag", "parameters": {"width": 512}}, "one size"),
    ):
        with pytest.raises(InvalidInput) as error:
            answered(HUGGING_FACE, body, served("text-to-image"))
        assert said in error.value.message


def test_the_openai_form() -> None:
    asked = {
        "model": "made",
        "prompt": "bag",
        "n": 3,
        "size": "4x4",
        "seed": 5,
        "response_format": "b64_json",
    }
    assert (
        OPENAI.address(OPENAI.match("POST", "/v1/images/generations"), {}, json.dumps(asked).encode()).model
        == "made"
    )  # type: ignore[attr-defined]
    body, media, bright = answered(OPENAI, asked, served("text-to-image"), IMAGES)
    assert media == "application/json"
    files = [base64.b64decode(row["b64_json"]) for row in json.loads(body)["data"]]
    assert [shade(file) for file in files] == np.rint(bright[:, 0, 0, 0] * 255).astype(int).tolist()
    assert len(set(files)) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": "Hat"}, "unknown label"),
        ({"size": "1024x1024"}, "one size"),
        ({"size": "large"}, "WIDTHxHEIGHT"),
        ({"n": 11}, "n: "),
        ({"response_format": "url"}, "b64_json"),
        ({"seed": -1}, "seed: "),
    ],
)
def test_what_the_openai_form_cannot_have(change: dict, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        answered(OPENAI, {"model": "made", "prompt": "Bag", **change}, served("text-to-image"), IMAGES)
    assert said in error.value.message


def test_models_of_other_tasks_make_no_images() -> None:
    model = SimpleNamespace(name="m", task=SimpleNamespace(name="image-classification"))
    body = memoryview(json.dumps({"model": "m", "prompt": "x"}).encode())
    with pytest.raises(NotFound, match="makes no images"):
        OPENAI.parse(Request({}, body, IMAGES), model)  # type: ignore[arg-type]
