"""Images from a recipe to stock clients: trained in a run, deployed, asked for over HTTP."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from modelyard.errors import InvalidInput
from stocked import Stocked

huggingface_hub = pytest.importorskip("huggingface_hub")
openai = pytest.importorskip("openai")
pytestmark = pytest.mark.slow

TRAINING = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 64, "epochs": 4, "seed": 0}


@pytest.fixture(scope="module")
def made(stocked: Stocked) -> Stocked:
    stocked.client.data.add("digits")
    for task, name in (("text-to-image", "by-name"), ("unconditional-image-generation", "of-nothing")):
        stocked.client.train(
            task=task, name=name, data="digits", net="vae", preprocessing={"latent": 8}, training=TRAINING
        )
        stocked.client.deploy(name, name, replicas=1)
    return stocked


def pixels(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_text_to_image_of_the_stock_client(made: Stocked) -> None:
    url = f"{made.client.gateway_url}/models/by-name"
    client = huggingface_hub.InferenceClient(url, token=made.client.settings.api_key, timeout=30)
    image = client.text_to_image("3", seed=1)
    assert image.size == (8, 8)
    assert np.array_equal(np.asarray(image), np.asarray(client.text_to_image("3", seed=1)))
    assert not np.array_equal(np.asarray(image), np.asarray(client.text_to_image("3", seed=2)))
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as error:
        client.text_to_image("eleven")
    assert error.value.response.status_code == 400
    assert "unknown label 'eleven'" in error.value.response.text
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="guidance_scale"):
        client.text_to_image("3", guidance_scale=7.5)


def test_images_generate_of_openais_client(made: Stocked) -> None:
    with openai.OpenAI(
        base_url=f"{made.client.gateway_url}/v1", api_key=made.client.settings.api_key, max_retries=0
    ) as client:
        found = client.images.generate(model="by-name", prompt="7", n=2, extra_body={"seed": 1})
        assert [pixels(base64.b64decode(row.b64_json)).shape for row in found.data] == [(8, 8)] * 2
        with pytest.raises(openai.BadRequestError, match="one size"):
            client.images.generate(model="by-name", prompt="7", size="1024x1024")
        with pytest.raises(openai.NotFoundError, match="makes no images"):
            client.images.generate(model="of-nothing", prompt="7")


def test_our_own_client_and_command(made: Stocked) -> None:
    one = made.client.predict("of-nothing", 5)
    assert one == made.client.predict("of-nothing", 5)
    assert one != made.client.predict("of-nothing", None)
    several = made.client.predict("by-name", ["1", "2"], seed=3)
    assert [pixels(base64.b64decode(text)).shape for text in several] == [(8, 8)] * 2
    file = made.folder / "two.png"
    made.yard("predict", "by-name", "--text", "2", "-p", "seed=3", "--out", str(file))
    assert pixels(file.read_bytes()).shape == (8, 8)
    with pytest.raises(InvalidInput, match="did you mean"):
        made.client.predict("by-name", "22")


def test_tensors_by_the_open_inference_protocol(made: Stocked) -> None:
    noise = {"name": "noise", "shape": [2, 8], "datatype": "FP32", "data": [0.0] * 16}
    label = {"name": "label", "shape": [2], "datatype": "INT64", "data": [4, 9]}
    key = {"Authorization": f"Bearer {made.client.settings.api_key}"}

    def asked(*inputs: dict[str, Any]) -> httpx.Response:
        url = f"{made.client.gateway_url}/v2/models/by-name/infer"
        return httpx.post(url, json={"inputs": inputs}, headers=key, trust_env=False)

    answer = asked(noise, label)
    assert answer.status_code == 200
    (image,) = answer.json()["outputs"]
    assert image["shape"] == [2, 8, 8, 1]
    assert 0 <= min(image["data"]) <= max(image["data"]) <= 1
    refused = asked(noise, {**label, "data": [4, 10]})
    assert refused.status_code == 400
    assert "0 to 9" in refused.text
