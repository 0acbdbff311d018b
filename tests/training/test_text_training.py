"""Nets of texts from a recipe to a package that serving opens, on sentences that scikit-learn brings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import text_models
from modelyard import datasets, engines, packages, training
from modelyard.datasets import Dataset
from modelyard.errors import InvalidInput
from modelyard.evaluation import EvaluationOptions, evaluate, write_report
from text_models import sentences

pytestmark = pytest.mark.slow
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "embedding_bag": {"width": 8, "buckets": 500, "word_groups": 2},
    "lstm": {"width": 12, "hidden": 8},
    "transformer_encoder": {"width": 16, "heads": 2, "layers": 1, "hidden": 16},
    "tfidf_logistic_regression": {"buckets": 500},
    "tfidf_svm": {"buckets": 500, "c": 1.0},
}
FEW = {"epochs": 6, "batch_size": 16, "learning_rate": 0.02, "optimizer": "adam", "schedule": "constant"}
PLAIN = FEW | {"ema": None, "augmentation": None}  # there are few sentences: what slows learning is left out


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    rows = [json.dumps({"text": text, "label": label}) for text, label in sentences()]
    return _dataset(tmp_path_factory.mktemp("texts"), {"data": rows})


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sentences to train on; words with a class of their own to measure."""
    places = {
        "mean": "/m/s",
        "standard": "/m/s",
        "deviation": "/m/s",
        "patients": "/p",
        "blood": "/p",
        "body": "/p",
    }
    rows = [json.dumps({"text": text}) for text, _ in sentences()]
    splits = {"train": rows[20:], "validation": rows[:20]}
    splits["test"] = [json.dumps({"text": word, "place": place}) for word, place in places.items()]
    return _dataset(tmp_path_factory.mktemp("words"), splits)


def _dataset(folder: Path, files: dict[str, list[str]]) -> Dataset:
    paths = []
    for name, rows in files.items():
        paths.append(folder / f"{name}.jsonl")
        paths[-1].write_text("\n".join(rows))

    class Silent:
        def metrics(self, step: int, values: dict[str, float]) -> None: ...
        def progress(self, done: float, total: float, text: str = "") -> None: ...
        def check(self) -> None: ...

    datasets.ingest(paths, datasets.IngestOptions(), folder / "version", Silent())
    return datasets.open_dataset(folder / "version")


def _train(
    dataset: Dataset, folder: Path, reporter: Any, attempt: int = 1, **recipe: Any
) -> training.TrainResult:
    parsed = training.parse_recipe({"name": "m", "data": "d"} | recipe)
    return training.train(
        parsed, dataset, folder / f"out-{attempt}", folder / "checkpoints", attempt, reporter
    )


def _given(name: str) -> dict[str, Any]:
    recipe = {"task": "text-classification", "net": {"name": name, **CLASSIFIERS[name]}}
    recipe["preprocessing"] = {"vocabulary_size": 500, "max_length": 40}
    return recipe | ({} if name.startswith("tfidf") else {"training": PLAIN})


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_of_texts(name: str, texts: Dataset, tmp_path: Path, recorder: Any) -> None:
    result = _train(texts, tmp_path, recorder, **_given(name))
    assert result.manifest.labels == ("breast_cancer", "diabetes", "wine")
    assert {"model.onnx", "tokenizer.json", "weights.safetensors"} <= set(result.manifest.files)
    model = engines.open_model(tmp_path / "out-1")
    asked = ["wine", "the mean radius of the tumor, " * 9, "Ünïcode 漢字 🙂"]
    together = model.predict(model.prepared.decode({"text": asked}))
    for row, text in enumerate(asked):
        alone = model.predict(model.prepared.decode({"text": [text]}))
        assert alone["probabilities"] == pytest.approx(together["probabilities"][row : row + 1], abs=1e-5)
    found = evaluate(model, texts, EvaluationOptions(split="train"), recorder)
    assert found.report.metrics.values["accuracy"] > 0.6


def test_several_lengths_are_golden(texts: Dataset, tmp_path: Path, recorder: Any) -> None:
    _train(texts, tmp_path, recorder, **_given("embedding_bag"))
    manifest = packages.read(tmp_path / "out-1")
    assert manifest.golden is not None
    sets = packages.golden.read_sets(tmp_path / "out-1", manifest.golden, manifest.tensors)
    assert len({inputs["input_ids"].shape[1] for inputs, _ in sets}) == 3


def test_subwords(texts: Dataset, tmp_path: Path, recorder: Any) -> None:
    recipe = _given("embedding_bag") | {"preprocessing": {"kind": "bpe", "vocabulary_size": 400}}
    result = _train(texts, tmp_path, recorder, **recipe)
    assert result.manifest.preprocessing["vocabulary"] == 400


def test_a_net_that_knows_words_already(texts: Dataset, tmp_path: Path, recorder: Any) -> None:
    text_models.minilm()
    recipe = training.parse_recipe((RECIPES / "tweets-minilm.yaml").read_text()).to_dict()
    recipe["net"]["trained_layers"] = 1
    recipe["preprocessing"]["max_length"] = 24
    recipe["training"] |= {"batch_size": 16, "learning_rate": 0.001}
    result = _train(texts, tmp_path, recorder, **recipe)
    assert result.manifest.preprocessing["vocabulary"] == 30_522
    found = evaluate(
        engines.open_model(tmp_path / "out-1"), texts, EvaluationOptions(split="train"), recorder
    )
    assert found.report.metrics.values["accuracy"] > 0.8


def test_the_report_shows_the_texts_of_mistakes(texts: Dataset, tmp_path: Path, recorder: Any) -> None:
    recipe = _given("embedding_bag") | {"training": PLAIN | {"epochs": 1}}
    _train(texts, tmp_path, recorder, **recipe)
    found = evaluate(
        engines.open_model(tmp_path / "out-1"), texts, EvaluationOptions(split="train"), recorder
    )
    assert found.mistakes
    known = {text for text, _ in sentences()}
    assert all(mistake.text in known for mistake in found.mistakes if len(mistake.text or "") < 300)
    write_report(found.report, tmp_path / "report", found.mistakes, found.exhibits)
    page = next((tmp_path / "report").glob("*.html")).read_text("utf-8")
    assert "Most confident mistakes" in page
    assert '<span class="wrong">' in page


def test_a_killed_run_learns_the_same_words_again(
    texts: Dataset, tmp_path: Path, recorders: Callable[..., Any]
) -> None:
    recipe = _given("lstm") | {"training": FEW | {"epochs": 3}}
    whole = _train(texts, tmp_path / "whole", recorders(), **recipe)
    with pytest.raises(KeyboardInterrupt):
        _train(texts, tmp_path / "killed", recorders(stop_at=12), **recipe)
    again = _train(texts, tmp_path / "killed", recorders(), attempt=2, **recipe)
    assert again.history == whole.history
    assert again.manifest.files == whole.manifest.files


@pytest.mark.parametrize(
    "net",
    [{"name": "word2vec", "shared": 32, "subsample": 0.01}, {"name": "glove", "least": 0.1}],
    ids=lambda n: n["name"],
)
def test_vectors_of_words(net: dict[str, Any], words: Dataset, tmp_path: Path, recorder: Any) -> None:
    preprocessing = {"width": 16, "min_frequency": 1}
    recipe = {"task": "feature-extraction", "net": net, "preprocessing": preprocessing, "training": FEW}
    result = _train(words, tmp_path, recorder, target="place", **recipe)
    assert [name for name in ("train/loss", "validation/loss") if name in result.history] == [
        "train/loss",
        "validation/loss",
    ]
    assert result.history["train/loss"][-1][1] < result.history["train/loss"][0][1]
    model = engines.open_model(tmp_path / "out-1")
    assert model.manifest.signature.outputs[0].shape == (-1, 16)
    found = evaluate(model, words, EvaluationOptions(), recorder)
    assert set(found.report.metrics.values) >= {"similarity_correlation", "neighbours_alike"}
    assert found.exhibits[0].title == "Nearest words"
    assert len(found.exhibits[0].rows) == 6
    arrays = model.prepared.adjusted(model.prepared.decode({"text": ["patients"]}), {"neighbours": 3})
    outputs = model.predict(arrays)
    assert [len(row) for row in model.task.encode(outputs, (), {"neighbours": 3})] == [3]
    again = model.predict(model.prepared.decode({"text": ["patients", "the mean of the mean"]}))
    assert again["embedding"][0] == pytest.approx(outputs["embedding"][0], abs=1e-6)


def test_vectors_without_a_target_are_compared_by_words(
    words: Dataset, tmp_path: Path, recorder: Any
) -> None:
    recipe = {"task": "feature-extraction", "net": "word2vec", "training": FEW | {"epochs": 1}}
    _train(words, tmp_path, recorder, preprocessing={"width": 8, "min_frequency": 1}, **recipe)
    found = evaluate(
        engines.open_model(tmp_path / "out-1"), words, EvaluationOptions(split="train"), recorder
    )
    assert np.isfinite(found.report.metrics.values["similarity_correlation"])


def test_a_target_that_is_not_there(words: Dataset, tmp_path: Path, recorder: Any) -> None:
    with pytest.raises(InvalidInput, match="no such target"):
        _train(words, tmp_path, recorder, task="feature-extraction", target="places")
