"""Our nets beside scikit-learn's estimators as they come, on real tables. Writes results/tabular.json.

    python benchmarks/tabular.py [--only german,ames] [--nets 'mlp;svm (c 1.0)']

Every estimator sees the same rows and the same features: our preprocessing, fitted on the training split.
Theirs are fitted with their defaults and a seed on the training split and measured on the test split; ours by
their packages, as they are served. Of both the best counts, so neither is chosen by more than the test split
itself."""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import machine
import numpy as np
from model_data import Silent, dataset

from modelyard import engines, nets, training
from modelyard.datasets import Dataset
from modelyard.errors import InvalidInput
from modelyard.evaluation import EvaluationOptions, evaluate

SEED: Final = 0


class Table(NamedTuple):
    """A data set of model_data.SOURCES, and its label. `nets` are those with other keys than their defaults."""

    data: str
    task: str
    target: str
    nets: tuple[dict[str, Any], ...] = ()


CLASSES, NUMBERS = "tabular-classification", "tabular-regression"
TABLES: Final = (
    Table("german", CLASSES, "risk"),
    Table("ames", NUMBERS, "Sale_Price"),
    Table("wa_churn", CLASSES, "churn"),
    Table("credit_data", CLASSES, "Status"),
)
OURS: Final[tuple[dict[str, Any], ...]] = (
    {"name": "mlp", "embedding": 8},
    {"name": "gradient_boosting", "trees": 100, "subsample": 1.0},
    {"name": "svm", "c": 1.0},
    {"name": "logistic_regression", "c": 0.1},
)
"""Besides every net with its defaults, for all tables alike."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="")
    parser.add_argument("--nets", default="")
    given = parser.parse_args()
    chosen = [t for t in TABLES if not given.only or t.data in given.only.split(",")]
    rows = [measured(table, given.nets) for table in chosen]
    if not given.only and not given.nets:
        print("written:", machine.write("tabular", {"results": rows}, seed=SEED).name)
    return 0 if all(row["reached"] for row in rows) else 1


def measured(table: Table, only: str) -> dict[str, Any]:
    """The test split's main figure of all, ours and theirs."""
    data = dataset(table.data)
    ours = [{"name": name} for name in nets.taking(table.task)] + [*OURS, *table.nets]
    ours = [net for net in ours if net["name"] in nets.taking(table.task)]
    ours = [net for net in ours if not only or _said(net) in only.split(";")]
    metric = "accuracy" if table.task == CLASSES else "rmse"
    tried = {_said(net): _ours(table, net, data, metric) for net in ours}
    found = {name: figure for name, figure in tried.items() if figure is not None}
    theirs = {} if only else _theirs(table, data, metric)
    pick: Callable[..., Any] = max if table.task == CLASSES else min
    best, against = (pick(each, key=lambda name: each[name][0], default=None) for each in (found, theirs))
    value, bound = found[best][0], theirs[against][0] if against else None
    reached = bound is None or (value >= bound if table.task == CLASSES else value <= bound)
    print(f"{table.data}: {metric} {value:.4f} by {best}; theirs {bound} by {against}", flush=True)
    return {
        "data": table.data,
        "metric": metric,
        "rows": data.manifest.split_rows,
        "best": best,
        "best_of_theirs": against,
        "reached": reached,
        "ours": {name: {metric: value, "seconds": seconds} for name, (value, seconds) in found.items()},
        "theirs": {name: {metric: value, "seconds": seconds} for name, (value, seconds) in theirs.items()},
    }


def _said(net: dict[str, Any]) -> str:
    keys = ", ".join(f"{key} {value}" for key, value in net.items() if key != "name")
    return f"{net['name']} ({keys})" if keys else str(net["name"])


def _recipe(table: Table, net: dict[str, Any]) -> training.Recipe:
    given = {"task": table.task, "name": "benchmark", "data": table.data, "target": table.target, "net": net}
    return training.parse_recipe({**given, "training": {"seed": SEED}})


def _ours(table: Table, net: dict[str, Any], data: Dataset, metric: str) -> tuple[float, float] | None:
    """None where the net refuses the table: one of many columns has too many polynomial terms."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, started = Path(scratch), time.monotonic()
        try:
            training.train(_recipe(table, net), data, folder / "package", folder / "checkpoints", 1, Silent())
        except InvalidInput as error:
            print(f"  {table.data:12} ours   {_said(net):32} {error.message}", flush=True)
            return None
        seconds = time.monotonic() - started
        model = engines.open_model(folder / "package")
        report = evaluate(model, data, EvaluationOptions(split="test"), Silent()).report
    value = report.metrics.values[metric]
    print(f"  {table.data:12} ours   {_said(net):32} {value:.4f} {seconds:5.1f} s", flush=True)
    return value, round(seconds, 1)


def _theirs(table: Table, data: Dataset, metric: str) -> dict[str, tuple[float, float]]:
    """The features are those of the preprocessing that any of our nets has."""
    from modelyard import tasks

    task = tasks.load(table.task)
    recipe = _recipe(table, {"name": task.default_net})
    schema = data.manifest.schema
    names = task.check(schema, table.target)
    train, test = data.columns("train"), data.columns("test")
    preprocessing = task.fit({name: train[name] for name in names}, schema, recipe.preprocessing)
    prepared = task.prepare(preprocessing)
    x, x_test = (
        prepared.transform(prepared.decode({name: part[name] for name in names}))["features"]
        for part in (train, test)
    )
    y, y_test = (task.targets(part[table.target], data.manifest.class_names) for part in (train, test))
    found = {}
    for name, estimator in _estimators(table.task).items():
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an MLP of 200 rounds has not converged
            answers = estimator.fit(x, y).predict(x_test)
        right = (
            np.mean(answers == y_test) if metric == "accuracy" else np.sqrt(np.mean((answers - y_test) ** 2))
        )
        found[name] = (float(right), round(time.monotonic() - started, 1))
        print(f"  {table.data:12} theirs {name:32} {right:.4f}", flush=True)
    return found


def _estimators(task: str) -> dict[str, Any]:
    """scikit-learn's general-purpose estimators with their defaults."""
    from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree

    if task == CLASSES:
        kinds = [
            *(linear_model.LogisticRegression, neighbors.KNeighborsClassifier, naive_bayes.GaussianNB),
            *(naive_bayes.BernoulliNB, svm.SVC, tree.DecisionTreeClassifier, ensemble.RandomForestClassifier),
            *(ensemble.ExtraTreesClassifier, ensemble.GradientBoostingClassifier),
            *(ensemble.HistGradientBoostingClassifier, ensemble.AdaBoostClassifier),
            *(ensemble.BaggingClassifier, neural_network.MLPClassifier),
        ]
    else:
        kinds = [
            *(linear_model.LinearRegression, linear_model.Ridge, linear_model.Lasso, linear_model.ElasticNet),
            *(neighbors.KNeighborsRegressor, svm.SVR, tree.DecisionTreeRegressor),
            *(
                ensemble.RandomForestRegressor,
                ensemble.ExtraTreesRegressor,
                ensemble.GradientBoostingRegressor,
            ),
            *(ensemble.HistGradientBoostingRegressor, ensemble.AdaBoostRegressor, ensemble.BaggingRegressor),
            neural_network.MLPRegressor,
        ]
    made = {}
    for kind in kinds:
        estimator: Any = kind()
        made[kind.__name__] = (
            estimator.set_params(random_state=SEED) if "random_state" in estimator.get_params() else estimator
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
