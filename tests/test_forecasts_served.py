"""Forecasts and several targets on a running platform: data, training, deployment, HTTP."""

import json
from typing import Any

import httpx
import pytest

import sunspots
from modelyard.errors import InvalidInput
from stocked import Stocked

pytestmark = pytest.mark.slow  # real processes

HISTORY = sunspots.VALUES[-33:]


@pytest.fixture(scope="module")
def served(stocked: Stocked) -> Stocked:
    """The deployments `sunspots` (forecasts) and `measures` (two numbers of wine)."""
    path = sunspots.write(stocked.folder / "sunspots.csv")
    stocked.yard("data", "add", "sunspots", str(path), "--order-by", "year")
    options = {"time": "year", "season": 11, "horizon": 11, "history": 33}
    stocked.client.train(
        task="time-series-forecasting",
        name="sunspots",
        data="sunspots",
        target="sunspots",
        net="linear_forecast",
        preprocessing=options,
    )
    stocked.client.deploy("sunspots", "sunspots")
    target = ["alcohol", "proline"]
    stocked.client.train(
        task="tabular-regression", name="measures", data="wine", target=target, net="linear_regression"
    )
    stocked.client.deploy("measures", "measures")
    return stocked


def post(served: Stocked, name: str, body: Any) -> httpx.Response:
    key = {"Authorization": f"Bearer {served.client.settings.api_key}"}
    url = f"{served.client.gateway_url}/models/{name}"
    return httpx.post(url, json=body, headers=key, timeout=30, trust_env=False)


def test_a_history_over_http(served: Stocked) -> None:
    found = post(served, "sunspots", {"inputs": HISTORY, "parameters": {"horizon": 2}}).json()
    assert [list(step) for step in found] == [["value"], ["value"]]
    rows = [{"year": 1976 + place, "sunspots": value} for place, value in enumerate(HISTORY)]
    dated = post(served, "sunspots", {"inputs": rows, "parameters": {"horizon": 2}}).json()
    assert [step["order"] for step in dated] == [2009, 2010]
    assert [step["value"] for step in dated] == [step["value"] for step in found]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"inputs": [1, 2]}, "too short"),
        ({"inputs": "soon"}, "not a history"),
        (
            {"inputs": HISTORY, "parameters": {"horizon": 12}},
            "beyond what was trained; came: 12; allowed: 1 to 11",
        ),
        ({"inputs": [{"yaer": 1}]}, "columns are missing"),
    ],
)
def test_bad_histories_are_explained(served: Stocked, body: Any, error: str) -> None:
    answer = post(served, "sunspots", body)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


def test_the_client_and_the_command_line(served: Stocked) -> None:
    plain = served.client.predict("sunspots", HISTORY, horizon=3)
    assert len(plain) == 3
    columns = {"year": list(range(1976, 2009)), "sunspots": HISTORY}
    assert [step["order"] for step in served.client.predict("sunspots", columns, horizon=3)] == [
        2009,
        2010,
        2011,
    ]
    path = served.folder / "last.csv"
    path.write_text("year,sunspots\n" + "".join(f"{1976 + k},{value}\n" for k, value in enumerate(HISTORY)))
    said = json.loads(served.yard("predict", "sunspots", str(path), "--json", "-p", "horizon=3"))
    assert [step["value"] for step in said] == pytest.approx([step["value"] for step in plain])


def test_the_report_says_the_figures(served: Stocked) -> None:
    page = served.client.models.report_page("sunspots").decode()
    assert "Forecasts beside what came" in page


def test_several_targets_over_http(served: Stocked) -> None:
    row = {**served.client.data.sample("wine").features, "label": 0}  # which is a feature here
    (answer,) = served.client.predict("measures", row)
    assert 10 < answer["alcohol"] < 16
    assert 100 < answer["proline"] < 2000
    with pytest.raises(InvalidInput, match="columns are missing"):
        served.client.predict("measures", {"hue": 1.0})
