"""The recipes of MovieLens 100k, shortened, and what simple recommenders reach on it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import datasets, engines, training
from modelyard.datasets import Dataset
from modelyard.evaluation import Bootstrap, EvaluationOptions, evaluate
from modelyard.evaluation.page import render

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "examples" / "recipes").glob("movielens-*.yaml"))
FOUND = importlib.util.find_spec("recbole")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.movielens,
    pytest.mark.skipif(FOUND is None, reason="needs recbole's files: pip install --no-deps recbole"),
]
FOLDERS = {"movielens": "last", "movielens-ratings": "random"}


class Silent:
    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    folder = tmp_path_factory.mktemp("movielens")
    assert FOUND is not None
    assert FOUND.origin is not None
    script = ROOT / "examples" / "data" / "movielens.py"
    source = Path(FOUND.origin).parent.parent
    subprocess.run([sys.executable, script, source, folder], check=True, capture_output=True)
    for name, part in FOLDERS.items():
        files = sorted((folder / part).glob("*.csv"))
        datasets.ingest(files, datasets.IngestOptions(), folder / name, Silent())
    return {name: datasets.open_dataset(folder / name) for name in FOLDERS}


def test_the_data_is_whole(versions: dict[str, Dataset]) -> None:
    last = versions["movielens"]
    assert last.manifest.split_rows == {"train": 98_114, "validation": 943, "test": 943}
    assert sum(versions["movielens-ratings"].manifest.split_rows.values()) == 100_000
    test = last.columns("test")
    assert len(set(test["user"].tolist())) == 943
    assert last.columns("train", ["timestamp"])["timestamp"].max() <= test["timestamp"].max()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_is_trained(path: Path, versions: dict[str, Dataset], tmp_path: Path) -> None:
    """Two epochs of it, where it has some; the page of its report shows recommendations."""
    recipe = training.parse_recipe(path.read_text())
    if recipe.net.name != "item_knn":
        keys = recipe.to_dict()
        recipe = training.parse_recipe(keys | {"training": keys["training"] | {"epochs": 2}})
    data = versions[recipe.data]
    training.train(recipe, data, tmp_path / "package", tmp_path / "checkpoints", 1, Silent())
    model = engines.open_model(tmp_path / "package")
    found = evaluate(model, data, EvaluationOptions(bootstrap=Bootstrap(resamples=20)), Silent())
    page = render(found.report, found.mistakes, found.exhibits)
    assert "Recommendations" in page
    assert "Star Wars (1977)" in page
    if recipe.net.name == "item_knn":
        assert found.report.metrics.values["ndcg@10"] > 0.03  # popularity has 0.025
    else:
        assert found.report.interval.value > 0
