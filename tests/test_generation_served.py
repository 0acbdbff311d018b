"""Nets that answer step by step, from their data to stock clients, through a whole platform."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny_corpus
from openai_client import stock_client
from stocked import Stocked

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("openai")
pytest.importorskip("torch")
pytestmark = pytest.mark.slow

RECIPE: dict[str, Any] = {
    "task": "text-generation",
    "name": "tiny",
    "data": "sentences",
    "net": {"name": "gpt", "layers": 2, "width": 32, "heads": 4},
    "preprocessing": {"vocabulary": 300, "context": 64},
    "training": {"epochs": 15, "batch_size": 8, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def tiny(stocked: Stocked, tmp_path_factory: pytest.TempPathFactory) -> Stocked:
    folder = tmp_path_factory.mktemp("sentences")
    tiny_corpus.write(folder)
    files = [folder / f"{split}.jsonl" for split in ("train", "validation", "test")]
    stocked.client.data.add("sentences", files, columns={"text": "text"})
    run = stocked.client.train(RECIPE)
    assert run.summary["metric"] == "bits_per_character"
    assert run.summary["value"] < 3
    stocked.client.deploy("tiny", "tiny", replicas=1)
    return stocked


@pytest.fixture
def client(tiny: Stocked) -> Iterator[Any]:
    with stock_client(tiny.client.gateway_url, tiny.client.settings.api_key) as client:
        yield client


def test_the_openai_door(client: Any) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "the girl", "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked, logprobs=2)
    assert whole.usage.completion_tokens <= 8
    assert len(whole.choices[0].logprobs.top_logprobs[0]) == 2
    stream = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in stream if c.choices) == whole.choices[0].text
    assert stream[-1].usage.completion_tokens == whole.usage.completion_tokens
    two = client.completions.create(model="tiny", prompt="the", n=2, seed=3, max_tokens=6)
    again = client.completions.create(model="tiny", prompt="the", n=2, seed=3, max_tokens=6)
    assert [c.text for c in two.choices] == [c.text for c in again.choices]
    messages = [{"role": "user", "content": "who"}]
    chat = client.chat.completions.create(model="tiny", messages=messages, max_tokens=5, logprobs=True)
    assert len(chat.choices[0].logprobs.content) <= 5
    parts = client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=5, temperature=0, stream=True
    )
    assert "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    pytest.importorskip("llguidance")
    said = client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=30, response_format={"type": "json_object"}
    )
    assert said.choices[0].message.content.startswith("{")


def test_hugging_faces_client_and_ours(tiny: Stocked, client: Any) -> None:
    url = f"{tiny.client.gateway_url}/models/tiny"
    asked = huggingface_hub.InferenceClient(url, token=tiny.client.settings.api_key, timeout=30)
    text = asked.text_generation("my mother", max_new_tokens=6)
    due = client.completions.create(model="tiny", prompt="my mother", max_tokens=6, temperature=0)
    assert text == due.choices[0].text
    detailed = asked.text_generation("my mother", max_new_tokens=6, details=True, stream=True)
    assert "".join(part.token.text for part in detailed) == text
    assert tiny.client.predict("tiny", "my mother")[0]["generated_text"].startswith(text)
    assert "generated_text" in tiny.yard("predict", "tiny", "--text", "my mother")


def test_bad_requests_are_told_why(client: Any) -> None:
    import openai

    for asked, why in (
        ({"prompt": "a " * 200}, "longer than the model's context"),
        ({"prompt": "a", "max_tokens": 100_000}, "more than the model's context"),
        ({"prompt": "a", "logit_bias": {"99999": 1}}, "none of"),
    ):
        with pytest.raises(openai.BadRequestError, match=re.escape(why)):
            client.completions.create(model="tiny", **asked)


def test_a_report_of_another_split(tiny: Stocked) -> None:
    run = tiny.client.evaluate("tiny", split="validation")
    assert run.summary["metric"] == "bits_per_character"


TRANSLATOR: dict[str, Any] = {
    "task": "translation",
    "name": "translator",
    "data": "pairs",
    "target": "es",
    "net": {"name": "seq2seq_transformer", "layers": 1, "width": 48, "heads": 4, "hidden": 96, "dropout": 0},
    "preprocessing": {"vocabulary": 340, "max_length": 32},
    "training": {"epochs": 12, "batch_size": 16, "learning_rate": 0.01},
}


def test_a_translator_answers_a_stock_client(stocked: Stocked, tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    tiny_corpus.write(tmp_path, ("en", "es"))
    files = [tmp_path / f"{split}.jsonl" for split in ("train", "validation", "test")]
    stocked.client.data.add("pairs", files, columns={"en": "text", "es": "text"})
    run = stocked.client.train(TRANSLATOR)
    assert run.summary["metric"] == "bleu"
    assert run.summary["value"] > 50
    stocked.client.deploy("translator", "translator", replicas=1)
    url = f"{stocked.client.gateway_url}/models/translator"
    asked = huggingface_hub.InferenceClient(url, token=stocked.client.settings.api_key, timeout=30)
    text = asked.translation("the girl sees a letter.").translation_text
    assert text
    one = asked.translation("the girl sees a letter.", generate_parameters={"num_beams": 1})
    assert one.translation_text
    same = asked.translation("the girl sees a letter.", src_lang="en", tgt_lang="es").translation_text
    assert same == text
    both = stocked.client.predict("translator", ["the girl sees a letter.", "my mother opens the door."])
    assert [list(answer) for answer in both] == [["translation_text"]] * 2
    assert both[0]["translation_text"] == text
    assert text in stocked.yard("predict", "translator", "--text", "the girl sees a letter.")
    for bad, why in (
        ({"text": " "}, "is empty"),
        ({"text": "the girl " * 50}, "is too long"),
        ({"text": "a", "src_lang": "de", "tgt_lang": "es"}, "the model knows one; came: de; allowed: en"),
        ({"text": "a", "generate_parameters": {"num_beams": 99}}, "num_beams"),
    ):
        with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as caught:
            asked.translation(**bad)
        assert caught.value.response.status_code == 400
        assert why in caught.value.response.text
    with stock_client(stocked.client.gateway_url, stocked.client.settings.api_key) as client:
        import openai

        with pytest.raises(openai.NotFoundError, match="does not generate text; its task is translation"):
            client.completions.create(model="translator", prompt="the girl")
