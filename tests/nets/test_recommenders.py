"""Every recommender on users of two tastes: what it learns, its package, and those whom it does not know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tastes
from modelyard import datasets, engines, nets, training
from modelyard.datasets import Dataset
from modelyard.engines import Model
from modelyard.evaluation import EvaluationOptions, evaluate

pytestmark = pytest.mark.slow

Models = Callable[[str, str], Model]
RANKING = nets.taking("recommendation")
RATING = nets.taking("rating-prediction")
BY_HISTORY = ("item_knn", "user_knn")
FEW = {"epochs": 40, "batch_size": 16, "early_stopping": None, "learning_rate": 0.02}


class Silent:
    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


@pytest.fixture(scope="module")
def tastes_data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("tastes")
    datasets.ingest(tastes.write(folder / "csv"), datasets.IngestOptions(), folder / "version", Silent())
    return datasets.open_dataset(folder / "version")


@pytest.fixture(scope="module")
def models(tastes_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model by its task and net, trained once."""
    kept: dict[tuple[str, str], Model] = {}

    def get(task: str, net: str) -> Model:
        if (task, net) not in kept:
            few = {"shrink": 5.0} if net in BY_HISTORY else {}  # of sixty users, no pair of films has many
            kept[task, net] = trained(task, net, tastes_data, tmp_path_factory.mktemp(net), **few)
        return kept[task, net]

    return get


def trained(task: str, net: str, data: Dataset, folder: Path, **config: float) -> Model:
    stepped = nets.load(net).framework == "pytorch"
    given: dict[str, Any] = {"task": task, "name": "m", "data": "d"}
    given["net"] = {"name": net, **({"factors": 4} if stepped else {}), **config}
    if stepped:
        given["training"] = FEW
    given["target"] = "rating"
    if task == "recommendation":
        given["preprocessing"] = {"threshold": 3}
    recipe = training.parse_recipe(given)
    training.train(recipe, data, folder / "package", folder / "checkpoints", 1, Silent())
    return engines.open_model(folder / "package")


def asked(model: Model, inputs: Any) -> list[Any]:
    outputs = model.predict(model.prepared.decode(model.task.sample(inputs)))
    return model.task.encode(outputs, (), {})


def share_of_war(found: list[dict[str, Any]]) -> float:
    return float(np.mean([answer["title"].startswith("War") for answer in found]))


@pytest.mark.parametrize("net", RANKING)
def test_tastes_are_recommended(net: str, models: Models, tastes_data: Dataset) -> None:
    model = models("recommendation", net)
    assert {"catalogue.json", "interactions.safetensors", "model.onnx"} <= set(model.manifest.files)
    war, love = asked(model, {"user": ["u00", "u01"], "k": 5})
    report = evaluate(model, tastes_data, EvaluationOptions(), Silent()).report
    assert set(report.metrics.values) == {"ndcg@10", "recall@10", "mrr"}
    assert report.interval.value == report.metrics.values["ndcg@10"]
    if net == "popularity":
        assert {answer["basis"] for answer in war + love} == {"popularity"}
        return
    assert share_of_war(war) >= 0.8
    assert share_of_war(love) <= 0.2
    assert report.metrics.values["recall@10"] >= 0.75  # by chance 10 of 19
    assert {answer["basis"] for answer in war} == {"user"}


@pytest.mark.parametrize("net", RATING)
def test_ratings_are_predicted(net: str, models: Models, tastes_data: Dataset) -> None:
    model = models("rating-prediction", net)
    report = evaluate(model, tastes_data, EvaluationOptions(), Silent()).report
    assert report.metrics.main == "rmse"
    assert {"rmse", "mae", "recall@10", "ndcg@10"} <= set(report.metrics.values)
    if net == "popularity":
        return
    assert report.metrics.values["rmse"] < 0.8  # where only the mean is known, 0.96
    own, other = asked(model, {"user": ["u00", "u00"], "item": ["War 3", "Love 20"]})
    assert own[0]["score"] > other[0]["score"] + 0.5
    assert 1 <= other[0]["score"] <= own[0]["score"] <= 5


@pytest.mark.parametrize("net", RANKING)
def test_somebody_new_is_answered(net: str, models: Models) -> None:
    """By what is liked, where the net can; else by what is popular."""
    model = models("recommendation", net)
    liked, new = asked(model, [{"liked": ["Love 13", "Love 14", 15], "k": 5}, {"user": "nobody", "k": 5}])
    assert {answer["basis"] for answer in new} == {"popularity"}
    if net in BY_HISTORY:
        assert {answer["basis"] for answer in liked} == {"liked"}
        assert share_of_war(liked) <= 0.2
    else:
        assert {answer["basis"] for answer in liked} == {"popularity"}
    assert not {"13", "14", "15"} & {answer["item"] for answer in liked}


def test_a_batch_answers_as_its_rows_do(models: Models) -> None:
    model = models("recommendation", "user_knn")
    queries: list[dict[str, Any]] = [
        {"user": "u00", "k": 3},
        {"liked": [13], "include_seen": True},
        {"user": "u01", "item": "War 3"},
    ]
    together = asked(model, queries)
    for query, found in zip(queries, together, strict=True):
        (alone,) = asked(model, query)
        assert [a["item"] for a in alone] == [a["item"] for a in found]
        assert [a["score"] for a in alone] == pytest.approx([a["score"] for a in found], rel=1e-5)


@pytest.mark.parametrize("net", BY_HISTORY)
def test_nothing_in_common_is_no_likeness(net: str, tastes_data: Dataset, tmp_path: Path) -> None:
    """Also where nothing draws a likeness, or a bias, to 0."""
    model = trained("rating-prediction", net, tastes_data, tmp_path, shrink=0, damping=0, neighbors=5)
    liked, new = asked(model, [{"liked": ["War 1"], "k": 5}, {"k": 5}])
    assert {answer["basis"] for answer in liked} == {"liked"}
    assert all(1 <= answer["score"] <= 5 for answer in liked + new)


def test_too_large_a_matrix_is_refused(
    monkeypatch: pytest.MonkeyPatch, tastes_data: Dataset, tmp_path: Path
) -> None:
    from modelyard.errors import TooLarge
    from modelyard.nets import histories

    monkeypatch.setattr(histories, "_CELLS", 100)
    with pytest.raises(TooLarge, match="item_knn holds a matrix of users by items; came: 60 x 24"):
        trained("recommendation", "item_knn", tastes_data, tmp_path)
