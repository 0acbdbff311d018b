"""The figures that default recipes reach on real data. Writes results/accuracy.json.

Run: python benchmarks/accuracy.py [--quick]     (--quick leaves Fashion-MNIST out)
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import machine

from modelyard import datasets, engines, nets, training
from modelyard.datasets import Dataset

SEED = 0


class Goal(NamedTuple):
    """What a data set is measured by. `nets` of which the best counts, None for all that take the task."""

    data: str
    task: str
    nets: tuple[str, ...] | None
    metric: str
    least: float | None = None
    most: float | None = None


GOALS = (
    Goal("digits", "image-classification", ("cnn",), "accuracy", least=0.975),
    Goal("digits", "image-classification", ("svm",), "accuracy", least=0.98),
    Goal("wine", "tabular-classification", None, "accuracy", least=0.94),
    Goal("breast-cancer", "tabular-classification", None, "accuracy", least=0.94),
    Goal("diabetes", "tabular-regression", ("linear_regression",), "rmse", most=58),
    Goal("diabetes", "tabular-regression", None, "rmse", most=58),
    Goal("fashion-mnist", "image-classification", ("cnn",), "accuracy", least=0.905),
)


class Silent:
    """A Reporter that says nothing."""

    def metrics(self, step: int, values: dict[str, float]) -> None: ...
    def progress(self, done: float, total: float, text: str = "") -> None: ...
    def check(self) -> None: ...


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            _measure(goal, Path(folder)) for goal in GOALS if not (quick and goal.data == "fashion-mnist")
        ]
    if not quick:
        print("written:", machine.write("accuracy", {"results": rows}, seed=SEED).name)
    return 0 if all(row["reached"] for row in rows) else 1


def _measure(goal: Goal, folder: Path) -> dict[str, Any]:
    dataset = _dataset(goal.data, folder)
    found = {net: _trained(goal, net, dataset, folder) for net in goal.nets or nets.taking(goal.task)}
    pick = max if goal.least is not None else min
    best = pick(found, key=lambda net: found[net][goal.metric])
    value = found[best][goal.metric]
    reached = value >= goal.least if goal.least is not None else value <= (goal.most or 0)
    bound = f">= {goal.least}" if goal.least is not None else f"<= {goal.most}"
    print(f"{goal.data:14} {best:20} {goal.metric} {value:.4f} (goal {bound})", flush=True)
    return {"data": goal.data, "net": best, "metric": goal.metric, "value": value, "goal": bound,
            "reached": reached, "nets": found}  # fmt: skip


def _dataset(name: str, folder: Path) -> Dataset:
    version = folder / name
    if not version.exists():
        datasets.ingest([], datasets.IngestOptions(builtin=name, seed=SEED), version, Silent())
    return datasets.open_dataset(version)


def _trained(goal: Goal, net: str, dataset: Dataset, folder: Path) -> dict[str, float]:
    """The test split's figures by the package, as it would be served; and the seconds of training."""
    given = {
        "task": goal.task,
        "name": "benchmark",
        "data": goal.data,
        "net": net,
        "training": {"seed": SEED},
    }
    place = folder / f"{goal.data}-{net}-{time.monotonic_ns()}"
    started = time.monotonic()
    training.train(
        training.parse_recipe(given), dataset, place / "package", place / "checkpoints", 1, Silent()
    )
    seconds = time.monotonic() - started
    model = engines.open_model(place / "package")
    columns = dataset.columns("test")
    preprocessing = model.manifest.preprocessing
    features = {name: columns[name] for name in model.task.features(preprocessing)}
    targets = model.task.targets(columns[preprocessing["target"]], model.manifest.labels)
    outputs = model.predict(model.prepared.decode(features))
    metrics = model.task.metrics(outputs, targets, model.manifest.labels)
    return {**metrics.values, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    sys.exit(main())
