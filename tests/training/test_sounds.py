"""Recipes on sounds, from tones that stand for words to packages that serving opens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import datasets, engines, training
from modelyard.datasets import Dataset
from modelyard.evaluation import EvaluationOptions, evaluate
from speech_samples import RATE, wav

pytest.importorskip("av")
pytest.importorskip("jiwer")
pytestmark = pytest.mark.slow

PITCH = {"low": 300, "high": 2000, "up": 900}  # Hz
SPLITS = {"train": 96, "validation": 16, "test": 24}


def said(words: list[str], random: np.random.Generator) -> bytes:
    """A tone for each word, of about a quarter of a second, in some noise."""
    parts = []
    for word in words:
        time = np.arange(int(random.uniform(0.2, 0.3) * RATE)) / RATE
        parts += [np.sin(2 * np.pi * PITCH[word] * random.uniform(0.9, 1.1) * time), np.zeros(RATE // 20)]
    samples = np.concatenate(parts)
    return wav((6000 * (samples + 0.02 * random.standard_normal(len(samples)))).astype(np.int16))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """One to four words with their transcripts; the first word is a class of its own."""
    folder, random = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for split, count in SPLITS.items():
        rows = []
        for number in range(count):
            words = [str(word) for word in random.choice(list(PITCH), random.integers(1, 5))]
            path = folder / "spoken" / split / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(said(words, random))
            rows.append({"file_name": path.name, "text": " ".join(words), "many": len(words) > 2})
        (path.parent / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    datasets.ingest([folder / "spoken"], datasets.IngestOptions(label="many"), folder / "version", Silent())
    return datasets.open_dataset(folder / "version")


class Silent:
    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def trained(data: Dataset, folder: Path, **recipe: Any) -> Any:
    """The package's report on the test split, and how the training went."""
    parsed = training.parse_recipe({"name": "m", "data": "d", **recipe})
    result = training.train(parsed, data, folder / "package", folder / "checkpoints", 1, Silent())
    model = engines.open_model(folder / "package")
    return model, evaluate(model, data, EvaluationOptions(), Silent()), result


def test_speech_is_learnt_letter_by_letter(tones: Dataset, tmp_path: Path) -> None:
    net = {"name": "crnn", "channels": [8, 8], "hidden": 24, "layers": 1, "dropout": 0.0}
    model, found, result = trained(
        tones,
        tmp_path,
        task="automatic-speech-recognition",
        target="text",
        net=net,
        preprocessing={"beam": 8, "words": "training"},
        training={"learning_rate": 0.01, "batch_size": 8, "epochs": 25, "schedule": "cosine"},
    )
    assert found.report.metrics.values["word_error_rate"] <= 0.1
    assert found.report.interval.value == found.report.metrics.values["word_error_rate"]
    assert result.history["train/loss"][-1][1] < 0.3 * result.history["train/loss"][0][1]
    assert model.manifest.preprocessing["vocabulary"] == sorted(PITCH)
    columns = tones.columns("test")
    files = list(columns["audio"][:6])
    together = model.predict(model.prepared.decode({"audio": files}))["text"].tolist()
    alone = [model.predict(model.prepared.decode({"audio": [file]}))["text"][0] for file in files]
    assert together == alone
    table, pictures = found.exhibits
    assert table.rows[0][0] == columns["text"][0]
    assert pictures.pictures


def test_spectrograms_are_augmented_and_told_apart(tones: Dataset, tmp_path: Path) -> None:
    _, found, result = trained(
        tones,
        tmp_path,
        task="audio-classification",
        net={"name": "cnn", "channels": [8, 8, 8], "hidden": 32},
        training={"epochs": 10, "augmentation": {"shift": 0.05, "time_masks": 1, "frequency_masks": 1}},
    )
    assert found.report.metrics.values["accuracy"] >= 0.8  # more than two words, or not: by the length alone
    assert any("ugment" in exhibit.title for exhibit in result.exhibits)
