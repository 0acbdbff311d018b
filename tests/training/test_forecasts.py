"""Forecasters on real data: yearly sunspots, split by time, through to packages and answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sunspots
from modelyard import datasets, engines, nets, training
from modelyard.dialects import DIALECTS, Request, Served
from modelyard.engines import Model
from modelyard.errors import InvalidInput
from modelyard.evaluation import EvaluationOptions, evaluate, write_report
from modelyard.nets import Shape

pytestmark = pytest.mark.slow

OPTIONS = {"time": "year", "season": 11, "horizon": 11, "history": 33}
QUICK: dict[str, Any] = {"epochs": 12, "early_stopping": None, "learning_rate": 0.005}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return sunspots.dataset(tmp_path_factory.mktemp("sunspots"))


def train(data: Any, folder: Path, net: str, **options: Any) -> Model:
    recipe = {
        "task": "time-series-forecasting",
        "name": "sunspots",
        "data": "sunspots",
        "target": "sunspots",
        "net": net,
        "preprocessing": OPTIONS | options,
        "training": QUICK if net == "lstm_forecast" else {},
    }
    training.train(
        training.parse_recipe(recipe), data, folder / "package", folder / "checkpoints", 1, sunspots.Silent()
    )
    return engines.open_model(folder / "package")


@pytest.fixture(scope="module")
def linear(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(data, tmp_path_factory.mktemp("linear"), "linear_forecast")


def figures(model: Model, data: Any) -> dict[str, float]:
    return evaluate(model, data, EvaluationOptions(split="test"), sunspots.Silent()).report.metrics.values


@pytest.mark.parametrize("net", ["linear_forecast", "lstm_forecast"])
def test_forecasters_beat_the_seasonal_naive_one(net: str, data: Any, tmp_path: Path) -> None:
    found = figures(train(data, tmp_path, net), data)
    assert found["mase"] < 0.9 * found["mase_of_seasonal_naive"]


def test_the_seasonal_naive_net_is_what_forecasts_are_compared_with(data: Any, tmp_path: Path) -> None:
    found = figures(train(data, tmp_path, "seasonal_naive"), data)
    assert found["mase"] == pytest.approx(found["mase_of_seasonal_naive"], rel=1e-6)
    assert found["mae"] == pytest.approx(28.105, abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["window", "standard", "none"])
def test_every_scale(scale: str, data: Any, tmp_path: Path) -> None:
    found = figures(train(data, tmp_path, "linear_forecast", scale=scale), data)
    assert np.isfinite(found["mase"])


def test_ridge_regression_is_scikit_learns() -> None:
    from sklearn.linear_model import Ridge

    from modelyard.nets.layers import torch

    preprocessing = {"scale": "none", "history": 5, "horizon": 2, "season": 1, "channels": ["y"]}
    preprocessing |= {"mean": [0.0], "std": [1.0]}
    net = nets.load("linear_forecast")
    module = net.build(net.config(alpha=0.01), Shape(inputs=(), outputs=(), preprocessing=preprocessing))
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 5, 1)).astype(np.float32), random.normal(size=(40, 2))
    known = np.ones((40, 2), bool)
    known[:7, 1] = False
    with torch.inference_mode():
        module.solve(
            {"history": torch.from_numpy(x)},
            {"target": torch.from_numpy(y), "known": torch.from_numpy(known)},
        )
        found = module(torch.from_numpy(x)).numpy()
    for step, rows in ((0, slice(0, None)), (1, slice(7, None))):
        count = len(x[rows])
        theirs = Ridge(alpha=0.01 * count).fit(x[rows, :, 0], y[rows, step])
        assert np.allclose(found[:, step], theirs.predict(x[:, :, 0]), atol=1e-5)


def served(model: Model) -> Served:
    manifest = model.manifest
    return Served(
        name="m",
        version="1",
        signature=manifest.signature,
        labels=manifest.labels,
        task=model.task,
        prepared=model.prepared,
    )


def ask(model: Model, body: dict[str, Any]) -> Any:
    dialect = DIALECTS[1]
    call = dialect.parse(Request({}, memoryview(json.dumps(body).encode())), served(model))
    return json.loads(dialect.render(call, model.predict(call.arrays), served(model)).body)


def test_one_history_is_answered_alone_and_several_in_a_list(linear: Model) -> None:
    history = sunspots.VALUES[-33:]
    one = ask(linear, {"inputs": history, "parameters": {"horizon": 3}})
    assert [list(step) for step in one] == [["value"]] * 3
    assert ask(linear, {"inputs": [history, history], "parameters": {"horizon": 3}}) == [one, one]
    assert len(ask(linear, {"inputs": history})) == 11


def test_rows_with_times_are_answered_with_times(linear: Model) -> None:
    rows = [{"year": 1976 + place, "sunspots": value} for place, value in enumerate(sunspots.VALUES[-33:])]
    found = ask(linear, {"inputs": rows})
    assert [step["order"] for step in found] == [2009 + k for k in range(11)]
    plain = ask(linear, {"inputs": sunspots.VALUES[-33:]})
    assert [step["value"] for step in found] == [step["value"] for step in plain]
    with pytest.raises(InvalidInput, match="3 known values over 4 steps; allowed: 11 steps or more"):
        ask(linear, {"inputs": {"data": {"year": [1980, 1981, 1983], "sunspots": [154.6, 140.4, 66.6]}}})


def test_the_report_shows_forecasts(linear: Model, data: Any, tmp_path: Path) -> None:
    found = evaluate(linear, data, EvaluationOptions(split="test", model="sunspots"), sunspots.Silent())
    assert found.report.rows == 21
    assert [exhibit.title for exhibit in found.exhibits] == ["Forecasts beside what came", "Error by step"]
    assert all(picture.png.startswith(b"\x89PNG") for picture in found.exhibits[0].pictures)
    write_report(found.report, tmp_path, found.mistakes, found.exhibits)
    assert "Forecasts beside what came" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("net", ["linear_forecast", "lstm_forecast"])
def test_several_series_with_covariates_by_the_calendar(net: str, tmp_path: Path) -> None:
    """Two of them, a row a month, some missing, with a column that tells what comes a month ahead."""
    values = sunspots.VALUES
    lines = ["month,place,spots,hint"]
    for place, start in (("north", 0), ("south", 150)):
        for k in range(150):
            if k % 17 != 5:
                row = values[start + k], values[start + k + 1]
                lines.append(f"{2000 + k // 12}-{k % 12 + 1:02}-01,{place},{row[0]},{row[1]}")
    (tmp_path / "spots.csv").write_text("\n".join(lines))
    datasets.ingest(
        [tmp_path / "spots.csv"],
        datasets.IngestOptions(order_by="month"),
        tmp_path / "version",
        sunspots.Silent(),
    )
    data = datasets.open_dataset(tmp_path / "version")
    options = {
        "time": None,
        "series": "place",
        "covariates": ["hint"],
        "horizon": 1,
        "history": 6,
        "season": 1,
    }
    recipe = {
        "task": "time-series-forecasting",
        "name": "spots",
        "data": "spots",
        "target": "spots",
        "net": net,
        "preprocessing": options,
        "training": {"seed": 0} | ({"epochs": 40, "learning_rate": 0.02} if net == "lstm_forecast" else {}),
    }
    training.train(
        training.parse_recipe(recipe),
        data,
        tmp_path / "package",
        tmp_path / "checkpoints",
        1,
        sunspots.Silent(),
    )
    model = engines.open_model(tmp_path / "package")
    assert model.manifest.preprocessing["steps"] == {"unit": "months", "size": 1}
    assert figures(model, data)["mase"] < 0.6
    rows = {
        "month": [f"2012-{k:02}-01" for k in range(1, 8)],
        "place": ["north"] * 7,
        "spots": [10, 12, 11, 9, 30, 50, 40],
        "hint": [12, 11, 9, 30, 50, 40, 20],
    }
    (step,) = ask(model, {"inputs": rows})
    assert step["timestamp"] == "2012-08-01T00:00:00Z"
    assert step["value"] < 35


def test_a_split_without_a_window_is_said(data: Any, tmp_path: Path, linear: Model) -> None:
    with pytest.raises(InvalidInput, match="training split has too few rows for one sample; came: 247 rows"):
        train(data, tmp_path, "seasonal_naive", history=240)
    model = train(data, tmp_path / "long", "seasonal_naive", horizon=40)
    with pytest.raises(InvalidInput, match="too few rows for one sample; came: 31 rows of test"):
        figures(model, data)
