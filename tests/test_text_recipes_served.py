"""A classifier of texts and vectors of words, trained by recipes and deployed: asked by stock clients and ours."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from stocked import Stocked
from text_models import sentences
from waiting import wait_until

huggingface_hub = pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow
FEW = {"epochs": 6, "batch_size": 16, "learning_rate": 0.02, "optimizer": "adam"}


@pytest.fixture(scope="module")
def data(stocked: Stocked) -> Path:
    path = stocked.folder / "about.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in sentences()))
    stocked.client.data.add("about-data", path)
    return path


@pytest.fixture(scope="module")
def about(stocked: Stocked, data: Path) -> str:
    net = {"name": "tfidf_logistic_regression", "c": 100, "min_texts": 1}
    return deployed(stocked, "about-texts", task="text-classification", net=net)


@pytest.fixture(scope="module")
def words(stocked: Stocked, data: Path) -> str:
    preprocessing = {"width": 16, "min_frequency": 2}
    recipe = {"net": "word2vec", "preprocessing": preprocessing, "training": FEW}
    return deployed(stocked, "about-words", task="feature-extraction", **recipe)


def deployed(stocked: Stocked, name: str, **recipe: Any) -> str:
    stocked.client.train(name=name, data="about-data", **recipe)
    stocked.client.deploy(name, name, replicas=1)
    wait_until(
        lambda: post(stocked, f"/models/{name}", {"inputs": "a"}).status_code != 503, 30, "the replica"
    )
    return name


def post(stocked: Stocked, path: str, body: Any) -> httpx.Response:
    key = {"Authorization": f"Bearer {stocked.client.settings.api_key}"}
    return httpx.post(f"{stocked.client.gateway_url}{path}", json=body, headers=key, timeout=30)


def stock_client(stocked: Stocked, name: str) -> Any:
    url = f"{stocked.client.gateway_url}/models/{name}"
    return huggingface_hub.InferenceClient(url, token=stocked.client.settings.api_key, timeout=30)


def test_a_classifier_answers_clients(stocked: Stocked, about: str) -> None:
    text = " ".join(text for text, label in sentences() if label == "wine")
    found = stock_client(stocked, about).text_classification(text)
    assert found[0].label == "wine"
    assert {answer.label for answer in found} == {"wine", "diabetes", "breast_cancer"}
    (ours,) = stocked.client.predict(about, text, top_k=1)
    assert ours == [{"label": "wine", "score": pytest.approx(found[0].score)}]
    assert "wine" in stocked.yard("predict", about, "--text", text)


@pytest.mark.parametrize(
    ("inputs", "words"), [("  ", "is empty"), ([1], "no text"), ({"a": ["b"], "c": ["d"]}, "one column")]
)
def test_bad_texts_are_explained(stocked: Stocked, about: str, inputs: Any, words: str) -> None:
    answer = post(stocked, f"/models/{about}", {"inputs": inputs})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_vectors_answer_a_stock_client(stocked: Stocked, words: str) -> None:
    found = stock_client(stocked, words).feature_extraction("the mean of the attribute")
    assert found.shape == (1, 16)
    body = {"model": words, "input": ["mean", "the mean"]}
    answer = post(stocked, "/v1/embeddings", body)
    assert [len(row["embedding"]) for row in answer.json()["data"]] == [16, 16]


def test_neighbours_and_analogies(stocked: Stocked, words: str) -> None:
    (near,) = stocked.client.predict(words, "mean", neighbours=3)
    assert [set(answer) for answer in near] == [{"word", "score"}] * 3
    assert near[0]["score"] >= near[2]["score"]
    asked = {"positive": ["mean", "worst"], "negative": ["error"]}
    answer = post(stocked, f"/models/{words}", {"inputs": asked, "parameters": {"neighbours": 2}})
    assert answer.status_code == 200, answer.text
    assert answer.json() == stocked.client.predict(words, asked, neighbours=2)
    (texts,) = [
        {"name": "text", "shape": [1], "datatype": "BYTES", "data": ['{"positive":["mean"],"neighbours":1}']}
    ]
    outputs = {
        o["name"]: o
        for o in post(stocked, f"/v2/models/{words}/infer", {"inputs": [texts]}).json()["outputs"]
    }
    assert outputs["neighbours"]["data"][0] == near[0]["word"]
    assert outputs["embedding"]["shape"] == [1, 16]


@pytest.mark.parametrize(
    ("inputs", "neighbours", "said"),
    [
        ("zzzz", 3, "in the training texts"),
        ("mean", 99, "neighbours"),
        ({"positive": [1]}, 3, "words to add"),
    ],
)
def test_bad_words_are_explained(
    stocked: Stocked, words: str, inputs: Any, neighbours: int, said: str
) -> None:
    body = {"inputs": inputs, "parameters": {"neighbours": neighbours}}
    answer = post(stocked, f"/models/{words}", body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
