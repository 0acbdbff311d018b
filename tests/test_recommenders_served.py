"""A recommender trained by a recipe and deployed: asked by the client, the command line, and over each dialect."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import tastes
from modelyard.errors import ModelyardError
from stocked import Stocked
from waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def films(stocked: Stocked) -> str:
    """A deployment's name."""
    stocked.client.data.add("films", tastes.write(stocked.folder / "films"))
    stocked.client.train(
        task="recommendation",
        name="films",
        data="films",
        target="rating",
        net="item_knn",
        preprocessing={"threshold": 3},
    )
    stocked.client.deploy("films", "films", replicas=1)
    wait_until(lambda: ready(stocked, "films"), 30, "the gateway's link to the replica")
    return "films"


def ready(stocked: Stocked, name: str) -> bool:
    key = {"Authorization": f"Bearer {stocked.client.settings.api_key}"}
    url = f"{stocked.client.gateway_url}/v2/models/{name}/ready"
    return httpx.get(url, headers=key, timeout=30).status_code == 200


def post(stocked: Stocked, path: str, body: Any) -> httpx.Response:
    key = {"Authorization": f"Bearer {stocked.client.settings.api_key}"}
    return httpx.post(f"{stocked.client.gateway_url}{path}", json=body, headers=key, timeout=30)


def test_the_client_is_answered(stocked: Stocked, films: str) -> None:
    (found,) = stocked.client.predict(films, {"user": "u00", "k": 3})
    assert len(found) == 3
    assert set(found[0]) == {"item", "title", "score", "basis"}
    assert all(answer["title"].startswith("War") for answer in found)
    two = stocked.client.predict(films, [{"user": "u00", "item": 3}, {"user": "u01", "item": 3}])
    assert two[0][0]["score"] > two[1][0]["score"]
    assert two[0][0]["rank"] < two[1][0]["rank"]
    (liked,) = stocked.client.predict(films, {"liked": ["Love 13", "Love 14"], "k": 3})
    assert all(answer["title"].startswith("Love") and answer["basis"] == "liked" for answer in liked)
    (new,) = stocked.client.predict(films, {"user": "nobody"}, k=4)
    assert [answer["basis"] for answer in new] == ["popularity"] * 4


def test_the_command_line_shows_a_table(stocked: Stocked, films: str) -> None:
    said = stocked.yard("predict", films, '{"user": "u00"}', "-p", "k=2")
    assert "War" in said
    assert "basis" in said
    assert len(stocked.json("predict", films, '{"user": "u00"}', "-p", "k=2")[0]) == 2


def test_a_stock_post_is_answered(stocked: Stocked, films: str) -> None:
    body = {"inputs": {"user": "u00", "exclude": ["War 1"]}, "parameters": {"k": 2}}
    answer = post(stocked, f"/models/{films}", body)
    assert answer.status_code == 200
    assert [set(row) for row in answer.json()[0]] == [{"item", "title", "score", "basis"}] * 2
    several = post(stocked, f"/models/{films}", {"inputs": [{"user": "u00"}, {"liked": ["Love 13"], "k": 1}]})
    assert [len(row) for row in several.json()] == [10, 1]


def test_the_open_inference_protocol_answers(stocked: Stocked, films: str) -> None:
    data = [json.dumps({"user": "u00", "k": 3}), json.dumps({"user": "u01", "item": 3})]
    body = {"inputs": [{"name": "query", "datatype": "BYTES", "shape": [2], "data": data}]}
    answer = post(stocked, f"/v2/models/{films}/infer", body)
    assert answer.status_code == 200
    found = {output["name"]: output for output in answer.json()["outputs"]}
    assert found["item"]["shape"] == [2, 100]
    assert found["count"]["data"] == [3, 1]
    assert found["basis"]["data"] == ["user", "user"]
    assert found["rank"]["data"][0] == 0 < found["rank"]["data"][1]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"usr": 1}, "did you mean 'user'"),
        ({"user": "u00", "k": 0}, "query 0.k"),
        ({"user": ["u00", "u01"], "k": [1, 2, 3]}, "same number of rows"),
        ({"liked": ["nothing known"]}, "none of the liked items is known"),
        ("u00", "inputs are no queries"),
        ({"user": {"name": "u00"}}, "query 0.user"),
        ([{"user": None, "item": []}], "query 0.item"),
    ],
)
def test_bad_samples_are_explained(stocked: Stocked, films: str, inputs: Any, said: str) -> None:
    answer = post(stocked, f"/models/{films}", {"inputs": inputs})
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    if isinstance(inputs, dict):
        with pytest.raises(ModelyardError, match=said.replace("'", ".")):
            stocked.client.predict(films, inputs)


@pytest.mark.parametrize("query", ["", "{", "[]", '{"k": "x"}', '{"user": 1, "other": 2}', "1" * 100])
def test_bad_queries_of_the_open_inference_protocol_are_explained(
    stocked: Stocked, films: str, query: str
) -> None:
    body = {"inputs": [{"name": "query", "datatype": "BYTES", "shape": [1], "data": [query]}]}
    answer = post(stocked, f"/v2/models/{films}/infer", body)
    assert answer.status_code == 400
    assert "query 0" in answer.json()["error"]


def test_a_bundle_brings_its_catalogue_along(stocked: Stocked, films: str, tmp_path: Path) -> None:
    bundle = stocked.client.models.export("films", tmp_path / "films.yard.zip")
    stocked.client.models.import_(bundle, "films-again")
    stocked.client.deploy("films-again", "films-again", replicas=1)
    wait_until(lambda: ready(stocked, "films-again"), 30, "the gateway's link to the replica")
    asked = {"user": "u00", "k": 3}
    assert stocked.client.predict("films-again", asked) == stocked.client.predict(films, asked)
