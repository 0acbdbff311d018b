"""Codes of texts from a recipe to HTTP: rebuilt texts, ways between two, and what is refused."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import tiny_corpus
from modelyard.errors import InvalidInput
from stocked import Stocked

pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytestmark = pytest.mark.slow

TEXT, OTHER = "the girl sees the house.", "my mother forgets an old book."


@pytest.fixture(scope="module")
def codes(stocked: Stocked) -> Stocked:
    rows = [{"text": english} for english, _ in tiny_corpus.sentences()]
    file: Path = stocked.folder / "sentences.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stocked.client.data.add("sentences", file, columns={"text": "text"})
    stocked.client.train(
        task="text-autoencoding",
        name="codes",
        data="sentences",
        net={"name": "text_vae", "vectors": 32, "units": 48, "annealing": 50},
        preprocessing={"vocabulary": 340, "max_length": 24, "latent": 8},
        training={"epochs": 4, "learning_rate": 0.01, "batch_size": 16},
    )
    stocked.client.deploy("codes", "codes", replicas=1)
    return stocked


def test_texts_codes_and_ways_between_them(codes: Stocked) -> None:
    (one,), (other,) = (codes.client.predict("codes", text) for text in (TEXT, OTHER))
    assert set(one) == {"generated_text"}
    assert codes.client.predict("codes", [TEXT, OTHER]) == [one, other]
    way = codes.client.predict("codes", {"text": TEXT, "other": OTHER, "steps": 4})
    assert [way[0], way[-1]] == [one, other]
    (written,) = codes.client.predict("codes", {"vector": [0.0] * 8})
    assert written["generated_text"]
    drawn = [codes.client.predict("codes", TEXT, temperature=1.0, seed=5) for _ in range(2)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("", "empty"),
        ("word " * 60, "too long"),
        ({"vector": [1.0]}, "wrong shape"),
        ({"text": TEXT, "other": OTHER, "share": 2}, "out of range"),
    ],
)
def test_bad_samples_are_explained(codes: Stocked, inputs: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        codes.client.predict("codes", inputs)
    url = f"{codes.client.gateway_url}/models/codes"
    key = {"Authorization": f"Bearer {codes.client.settings.api_key}"}
    answer = httpx.post(url, json={"inputs": inputs}, headers=key, trust_env=False)
    assert answer.status_code == 400
    assert said.split("|")[0] in answer.json()["error"]
