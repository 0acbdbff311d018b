"""Several targets through training, package, evaluation and answers, on real wine."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import datasets, engines, training
from modelyard.datasets import Dataset
from modelyard.dialects import DIALECTS, Request, Served
from modelyard.errors import InvalidInput
from modelyard.evaluation import EvaluationOptions, evaluate

pytestmark = pytest.mark.slow
QUICK: dict[str, Any] = {"mlp": {"epochs": 6, "early_stopping": None}}


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The built-in wines with a second class: whether a wine is strong."""
    from sklearn.datasets import load_wine

    found = load_wine()
    folder = tmp_path_factory.mktemp("wine")
    lines = [",".join([*found.feature_names, "grower", "strong"])]
    for row, grower in zip(found.data, found.target, strict=True):
        lines.append(",".join([*map(str, row), f"grower {grower}", "yes" if row[0] > 13 else "no"]))
    (folder / "wine.csv").write_text("\n".join(lines))

    class Silent:
        def metrics(self, step: int, values: dict[str, float]) -> None: ...
        def progress(self, done: float, total: float, text: str = "") -> None: ...
        def check(self) -> None: ...

    datasets.ingest([folder / "wine.csv"], datasets.IngestOptions(seed=1), folder / "version", Silent())
    return datasets.open_dataset(folder / "version")


def train(data: Dataset, folder: Path, reporter: Any, attempt: int = 1, **recipe: Any) -> Any:
    net = recipe["net"]
    given = {"name": "m", "data": "wine", "training": QUICK.get(net, {}), **recipe}
    return training.train(
        training.parse_recipe(given),
        data,
        folder / f"out-{attempt}",
        folder / "checkpoints",
        attempt,
        reporter,
    )


def ask(folder: Path, body: dict[str, Any]) -> Any:
    model = engines.open_model(folder)
    manifest = model.manifest
    served = Served(
        name="m",
        version="1",
        signature=manifest.signature,
        labels=manifest.labels,
        task=model.task,
        prepared=model.prepared,
    )
    dialect = DIALECTS[1]
    call = dialect.parse(Request({}, memoryview(json.dumps(body).encode())), served)
    return json.loads(dialect.render(call, model.predict(call.arrays), served).body)


def row(data: Dataset, *targets: str) -> dict[str, Any]:
    columns = data.columns("test")
    return {name: values.tolist()[0] for name, values in columns.items() if name not in targets}


@pytest.mark.parametrize("net", ["mlp", "random_forest", "k_nearest_neighbors", "logistic_regression"])
def test_two_classes_at_once(net: str, wine: Dataset, tmp_path: Path, recorder: Any) -> None:
    target = ["grower", "strong"]
    result = train(wine, tmp_path, recorder, task="tabular-classification", net=net, target=target)
    assert result.manifest.labels == (
        *("grower=grower 0", "grower=grower 1", "grower=grower 2"),
        *("strong=no", "strong=yes"),
    )
    assert set(result.manifest.files) <= {"model.onnx", "golden.safetensors", "weights.safetensors"}
    assert result.fit.why.startswith("grower: ")
    model = engines.open_model(tmp_path / "out-1")
    report = evaluate(model, wine, EvaluationOptions(split="test"), recorder).report
    values = report.metrics.values
    assert values["accuracy"] == pytest.approx(
        (values["accuracy (grower)"] + values["accuracy (strong)"]) / 2
    )
    assert values["accuracy"] > 0.6
    assert report.interval.low <= report.interval.value <= report.interval.high
    (answer,) = ask(tmp_path / "out-1", {"inputs": [row(wine, *target)]})
    assert {one["label"] for one in answer["grower"]} == {"grower 0", "grower 1", "grower 2"}
    assert sum(one["score"] for one in answer["strong"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("net", ["mlp", "linear_regression", "gradient_boosting"])
def test_two_numbers_at_once(net: str, wine: Dataset, tmp_path: Path, recorder: Any) -> None:
    target = ["alcohol", "proline"]
    train(wine, tmp_path, recorder, task="tabular-regression", net=net, target=target)
    model = engines.open_model(tmp_path / "out-1")
    values = evaluate(model, wine, EvaluationOptions(split="test"), recorder).report.metrics.values
    assert values["rmse (alcohol)"] < 1
    assert values["rmse (proline)"] < 400
    (answer,) = ask(tmp_path / "out-1", {"inputs": [row(wine, *target)]})
    assert 10 < answer["alcohol"] < 16
    assert 100 < answer["proline"] < 2000


def test_each_is_the_net_of_its_target_alone(wine: Dataset, tmp_path: Path, recorder: Any) -> None:
    both = ["alcohol", "proline"]
    given = {"task": "tabular-regression", "net": "linear_regression"}
    train(wine, tmp_path / "both", recorder, target=both, **given)
    train(wine, tmp_path / "alone", recorder, target="proline", **given)
    asked = row(wine, *both)
    (answer,) = ask(tmp_path / "both" / "out-1", {"inputs": [asked]})
    # Alone it would read the other target as a feature, so that the same rows are asked without it.
    with pytest.raises(InvalidInput, match=r"columns are missing: \['alcohol'\]"):
        ask(tmp_path / "alone" / "out-1", {"inputs": [asked]})
    assert np.isfinite(list(answer.values())).all()


def test_a_killed_run_goes_on(wine: Dataset, tmp_path: Path, recorders: Any) -> None:
    given = {"task": "tabular-regression", "net": "mlp", "target": ["alcohol", "proline"]}
    whole = train(wine, tmp_path / "whole", recorders(), **given)
    with pytest.raises(KeyboardInterrupt):
        train(wine, tmp_path / "killed", recorders(stop_at=40), **given)
    again = train(wine, tmp_path / "killed", recorders(), attempt=2, **given)
    assert again.history == whole.history
    assert again.manifest.files == whole.manifest.files
