"""Stock clients, unmodified."""

import io

import numpy as np
import pytest
from PIL import Image

from live_models import image_answer

PIXELS = np.random.default_rng(3).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def triton(gateway):
    from tritonclient import http

    client = http.InferenceServerClient(
        f"127.0.0.1:{gateway.port}", connection_timeout=20, network_timeout=20
    )
    yield client
    client.close()


def key():
    return {"Authorization": "Bearer key-predict"}  # tritonclient writes into what it is given


def test_triton_asks_what_is_there(triton):
    assert triton.is_server_live(key())
    assert triton.is_server_ready(key())
    assert triton.is_model_ready("pictures", headers=key())
    assert triton.is_model_ready("pictures", "1", headers=key())
    assert "binary_tensor_data" in triton.get_server_metadata(key())["extensions"]
    assert triton.get_model_metadata("pictures", headers=key())["inputs"][0]["shape"] == [-1, 8, 8, 1]
    assert {m["name"] for m in triton.get_model_repository_index(key())} == {"bench", "pictures", "table"}
    triton.load_model("pictures", key())


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_triton_infers(triton, binary_in, binary_out, compression):
    from tritonclient import http

    tensor = http.InferInput("image", list(PIXELS.shape), "UINT8")
    tensor.set_data_from_numpy(PIXELS, binary_data=binary_in)
    outputs = [http.InferRequestedOutput("probabilities", binary_data=binary_out)]
    result = triton.infer(
        "pictures",
        [tensor],
        outputs=outputs,
        request_id="r-1",
        headers=key(),
        request_compression_algorithm=compression,
    )
    np.testing.assert_allclose(result.as_numpy("probabilities"), image_answer(PIXELS), atol=1e-6)
    assert result.get_response()["id"] == "r-1"


def test_triton_without_named_outputs(triton):
    from tritonclient import http

    tensor = http.InferInput("image", list(PIXELS.shape), "UINT8")
    tensor.set_data_from_numpy(PIXELS)
    result = triton.infer("pictures", [tensor], headers=key())
    np.testing.assert_allclose(result.as_numpy("probabilities"), image_answer(PIXELS), atol=1e-6)


def test_triton_gets_our_errors(triton):
    from tritonclient import http
    from tritonclient.utils import InferenceServerException

    tensor = http.InferInput("image", [1, 8], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, 8), np.uint8))
    with pytest.raises(InferenceServerException, match="wrong shape"):
        triton.infer("pictures", [tensor], headers=key())
    with pytest.raises(InferenceServerException, match="API key"):
        triton.infer("pictures", [tensor])
    with pytest.raises(InferenceServerException, match="owner"):
        triton.unload_model("pictures", key())
    with pytest.raises(InferenceServerException):
        triton.get_system_shared_memory_status(headers=key())


def huggingface(gateway, model):
    from huggingface_hub import InferenceClient

    return InferenceClient(f"{gateway.url}/models/{model}", token="key-predict", timeout=20)


def test_huggingface_images(gateway):
    client = huggingface(gateway, "pictures")
    wanted = image_answer(PIXELS[:1])[0]
    answer = client.image_classification(png(PIXELS[0]))
    assert {a.label: a.score for a in answer} == pytest.approx(
        dict(zip(("dark", "light"), wanted, strict=True)), abs=1e-6
    )
    top = client.image_classification(png(PIXELS[0]), top_k=1)
    assert [a.label for a in top] == [answer[0].label]


def test_huggingface_tables(gateway):
    answer = huggingface(gateway, "table").tabular_classification({"a": ["1", "2.5"], "b": ["0", "1"]})
    assert len(answer) == 2


def test_huggingface_gets_our_errors(gateway):
    from huggingface_hub.errors import HfHubHTTPError

    with pytest.raises(HfHubHTTPError, match="not an image") as caught:
        huggingface(gateway, "pictures").image_classification(b"no image at all")
    assert caught.value.response.status_code == 400


def test_openai_lists_models(gateway):
    import openai

    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="key-predict", max_retries=0) as client:
        assert [m.id for m in client.models.list()] == ["bench", "pictures", "table"]
        assert client.models.retrieve("table").owned_by == "default"
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("nothing")
        assert caught.value.code == "model_not_found"
    wrong = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="wrong", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError):
        wrong.models.list()
