"""Sounds from espeak-ng's voices to stock clients: a data set, a recipe, a deployment, asked over HTTP."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from speech_samples import tone, wav
from stocked import Stocked

pytest.importorskip("av")
pytest.importorskip("jiwer")
pytest.importorskip("scipy")
huggingface_hub = pytest.importorskip("huggingface_hub")
pytestmark = [pytest.mark.slow, pytest.mark.espeak]

ROOT = Path(__file__).parent.parent


def voices(kind: str, out: Path, count: int) -> Path:
    """What examples/data/voices.py writes; skips where espeak-ng is not installed."""
    if not any((Path(p) / "espeak-ng").exists() for p in os.environ.get("PATH", "").split(os.pathsep)):
        pytest.skip("needs Debian's espeak-ng")
    script = ROOT / "examples" / "data" / "voices.py"
    subprocess.run([sys.executable, script, kind, out, "--count", str(count)], check=True, timeout=120)
    return out


def trained(yard: Stocked, recipe: str, data: Path, **training: Any) -> str:
    """An example recipe, shortened, under its own name and deployed."""
    path = ROOT / "examples" / "recipes" / f"{recipe}.yaml"
    name = data.name
    yard.client.data.add(name, data)
    run = yard.client.train(path, training=training)
    assert run.state == "succeeded", run.raw
    yard.client.deploy(name, name, replicas=1)
    return name


def client(yard: Stocked, name: str) -> Any:
    url = f"{yard.client.gateway_url}/models/{name}"
    return huggingface_hub.InferenceClient(url, token=yard.client.settings.api_key, timeout=30)


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError) as caught:
        call(*arguments)
    assert caught.value.response.status_code == 400
    return str(caught.value.response.json()["error"])


def test_digits_are_told_apart(stocked: Stocked, tmp_path: Path) -> None:
    folder = voices("digits", tmp_path / "spoken-digits", 400)
    name = trained(stocked, "spoken-digits-cnn", folder, epochs=10)
    asked = client(stocked, name)
    files = sorted((folder / "test").rglob("*.wav"))[::3]
    right = 0
    for path in files:
        answer = asked.audio_classification(str(path))
        assert sum(element.score for element in answer) <= 1.0001
        right += answer[0].label == path.parent.name
    assert right / len(files) > 0.3  # of ten classes, by voices that were not heard
    assert len(asked.audio_classification(files[0].read_bytes(), top_k=2)) == 2
    assert stocked.client.predict(name, files[0])[0]["label"] in {p.name for p in (folder / "test").iterdir()}
    assert "no sound file that can be read" in refused(asked.audio_classification, b"RIFF and no more")
    printed = stocked.json("predict", name, str(files[0]))
    assert {"label", "score"} == set(printed[0])


def test_numbers_are_written_down(stocked: Stocked, tmp_path: Path) -> None:
    """By Hugging Face's client and OpenAI's. So short a training hears little; that it hears is measured by
    benchmarks/models.py."""
    openai = pytest.importorskip("openai")
    folder = voices("numbers", tmp_path / "spoken-numbers", 60)
    name = trained(stocked, "spoken-numbers-crnn", folder, epochs=2)
    sound = next((folder / "test").glob("*.wav"))
    asked = client(stocked, name)
    heard = asked.automatic_speech_recognition(str(sound)).text
    assert isinstance(heard, str)
    assert stocked.client.predict(name, [sound.read_bytes(), wav(tone(0.4))])[0] == {"text": heard}
    settings = stocked.client.settings
    other = openai.OpenAI(
        base_url=f"{stocked.client.gateway_url}/v1", api_key=settings.api_key, max_retries=0
    )
    assert other.audio.transcriptions.create(model=name, file=sound).text == heard
    plain = other.audio.transcriptions.create(model=name, file=sound, response_format="text")
    assert plain.strip() == heard
    with pytest.raises(openai.BadRequestError, match="response_format"):
        other.audio.transcriptions.create(model=name, file=sound, response_format="srt")
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),
        pytest.raises(openai.BadRequestError, match="does not translate"),
    ):
        other.audio.translations.create(model=name, file=sound)
    assert "no sound file" in refused(asked.automatic_speech_recognition, b"RIFF and no more")
    assert (
        "slots is for models that generate" in stocked.run("deployments", "set", name, "--slots", "2").stderr
    )
