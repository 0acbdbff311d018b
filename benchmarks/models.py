"""What the nets reach on real data, by the recipes of examples/recipes. Writes results/models.json and models.md.

    python benchmarks/models.py [--only "NAME; ..."] [--list]

Each figure is measured by the package on the test split, as it would be served. A figure is written as soon as it
is there, with its date, so that a part of them can be measured again. Exits with 1 where one is missed.
"""

import argparse
import datetime
import json
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import machine
from model_data import ROOT, Silent, dataset

from modelyard import engines, training
from modelyard.evaluation import EvaluationOptions, evaluate
from modelyard.types.report import Report

RESULT: Final = machine.RESULTS / "models.json"
PAGE: Final = Path(__file__).with_name("models.md")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One recipe on one data set.

    recipe  a file of examples/recipes, without its suffix
    data    of model_data.SOURCES
    change  over the recipe's own keys, as {"net": "lstm"}
    metric  of the report, or of training's curves ("validation/kl": its end; "first validation/kl": its beginning);
            `least` or `most` is the bound, neither where it is only to be stated
    shown   other metrics that stand beside it
    others  data sets all of whose rows are measured too, as recordings of other voices: the metric stands beside it
    """

    name: str
    recipe: str
    data: str
    metric: str
    change: dict[str, Any] | None = None
    least: float | None = None
    most: float | None = None
    shown: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def bound(self) -> str:
        if self.least is not None:
            return f">= {self.least}"
        return f"<= {self.most}" if self.most is not None else "stated"

    def reached(self, value: float) -> bool:
        return not (
            (self.least is not None and value < self.least) or (self.most is not None and value > self.most)
        )


GOALS: Final[tuple[Goal, ...]] = (
    *(
        Goal(
            name=f"{data}, {net}",
            recipe=recipe,
            data=data,
            change=None if net in recipe_net else {"net": net, "training": {"seed": 0}},
            metric="mase",
            most=most,  # of the seasonal-naive forecast of the same windows
            shown=("mae", "mae_of_seasonal_naive", "mase_of_seasonal_naive"),
        )
        for data, recipe, recipe_net, most in (
            ("sunspots", "sunspots-lstm", ("lstm_forecast",), 1.32),
            ("co2", "co2-linear", ("linear_forecast",), 1.43),
            ("weather", "weather-linear", ("linear_forecast",), 1.45),
        )
        for net in ("linear_forecast", "lstm_forecast")
    ),
    Goal(name="german, mlp", recipe="german-mlp", data="german", metric="accuracy", shown=("roc_auc",)),
    Goal(
        name="ames, two targets",
        recipe="ames-boosting",
        data="ames",
        metric="rmse (Sale_Price)",
        shown=("rmse (Year_Built)", "r2 (Sale_Price)", "r2 (Year_Built)"),
    ),
    Goal(name="digits, cnn", recipe="digits-cnn", data="digits", metric="accuracy", least=0.975),
    Goal(
        name="fashion, resnet", recipe="fashion-resnet", data="fashion-mnist", metric="accuracy", least=0.925
    ),
    Goal(name="fashion, vit", recipe="fashion-vit", data="fashion-mnist", metric="accuracy"),
    Goal(name="digits, efficientnet", recipe="digits-efficientnet", data="digits", metric="accuracy"),
    Goal(
        name="digits from noise, vae",
        recipe="digits-vae",
        data="digits",
        metric="frechet_distance",
        shown=("first validation/frechet_distance", "validation/frechet_distance", "real_halves_distance"),
    ),
    *(
        Goal(
            name=f"fashion by name, {net}",
            recipe=f"fashion-{net}",
            data="fashion-mnist",
            metric="recognised",
            least=0.8,
            shown=(
                "judge_accuracy",
                "first validation/frechet_distance",
                "validation/frechet_distance",
                "frechet_distance",
                "real_halves_distance",
            ),
        )
        for net in ("vae", "gan")
    ),
    *(
        Goal(
            name=f"{data}, {net}",
            recipe=f"tweets-{recipe}",
            data=data,
            change={"net": net} if net == "tfidf_svm" else None,
            metric="accuracy",
            least=least if data == "tweets" else None,
        )
        for data in ("tweets", "movie-snippets")
        for net, recipe, least in (
            ("tfidf_logistic_regression", "tfidf", 0.76),
            ("tfidf_svm", "tfidf", 0.76),
            ("embedding_bag", "embedding-bag", 0.76),
            ("lstm", "lstm", 0.76),
            ("transformer_encoder", "transformer", 0.76),
            ("minilm", "minilm", 0.79),
        )
    ),
    *(
        Goal(
            name=f"nouns of WordNet, {net}",
            recipe=f"words-{net}",
            data="words",
            metric="similarity_correlation",
            least=0.05,  # three deviations of vectors without meaning
            shown=("neighbours_alike", "neighbours_alike_by_chance"),
        )
        for net in ("word2vec", "glove")
    ),
    Goal(
        name="codes of tweets, text_vae",
        recipe="tweets-vae",
        data="tweets",
        metric="validation/kl",
        least=1.0,
        shown=("validation/reconstruction", "words_kept", "words_kept_of_others"),
    ),
    Goal(
        name="spoken digits, cnn",
        recipe="spoken-digits-cnn",
        data="spoken-digits",
        metric="accuracy",
        least=0.95,
        others=("real-digits",),
    ),
    Goal(
        name="spoken numbers, crnn",
        recipe="spoken-numbers-crnn",
        data="spoken-numbers",
        metric="word_error_rate",
        most=0.06,
        shown=("character_error_rate",),
        others=("real-numbers",),
    ),
    *(
        Goal(
            name=f"scenes, {net}",
            recipe=f"scenes-{net}",
            data="scenes",
            metric="map_50",
            least=0.8,
            shown=("map", "map_75"),
        )
        for net in ("yolo", "ssd")
    ),
    Goal(
        name="novels, gpt",
        recipe="austen-gpt",
        data="austen",
        metric="bits_per_character",
        most=1.90,  # 5-grams of characters have 1.905
        shown=("5gram_bits_per_character", "5gram_of_tokens_bits_per_character", "perplexity"),
    ),
    *(
        Goal(name=name, recipe=recipe, data=data, metric="bleu", least=least, shown=("chrf", "length_ratio"))
        for name, recipe, data, least in (
            ("verses, transformer", "verses-transformer", "verses", 15.0),
            ("verses, rnn", "verses-rnn", "verses", None),
            ("catalogues, transformer", "catalogues-transformer", "catalogues", None),
        )
    ),
    Goal(
        name="ratings of films, factors",
        recipe="movielens-factors",
        data="movielens-ratings",
        metric="rmse",
        most=0.93,
        shown=("mae",),
    ),
    *(
        Goal(
            name=f"films, {net}",
            recipe=recipe,
            data="movielens",
            metric="ndcg@10",
            change=change,
            least=least,
            shown=("recall@10", "mrr"),
        )
        for net, recipe, change, least in (
            ("popularity", "movielens-items", {"net": "popularity"}, None),
            ("ncf", "movielens-ncf", None, 0.0251),  # popularity has 0.0250
            ("item_knn", "movielens-items", None, None),
            ("user_knn", "movielens-items", {"net": "user_knn"}, None),
            ("matrix_factorization", "movielens-ncf", {"net": "matrix_factorization", "training": {}}, None),
        )
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="", help="names of figures, or beginnings of them, with ; between them"
    )
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    chosen = [g for g in GOALS if g.name.startswith(tuple(re.split(r" *; *", given.only.strip())))]
    if given.list or not chosen:
        print("\n".join(f"{goal.name:40} {goal.metric} {goal.bound}" for goal in GOALS))
        return 0 if given.list else 2
    for goal in chosen:
        row = measured(goal)
        _keep(goal.name, row)
        said = "reached" if row["reached"] else "MISSED "
        print(
            f"{said} {goal.name:40} {goal.metric} {row['value']:.4f} ({goal.bound}) {row['seconds']:.0f} s",
            flush=True,
        )
    rows = json.loads(RESULT.read_text())["results"]
    return 0 if all(rows[goal.name]["reached"] for goal in chosen) else 1


def measured(goal: Goal) -> dict[str, Any]:
    """Train, evaluate by the package, and say where and when."""
    text = (ROOT / "examples" / "recipes" / f"{goal.recipe}.yaml").read_text()
    recipe = training.parse_recipe(text)
    if goal.change:
        recipe = training.parse_recipe(recipe.to_dict() | goal.change)
    data = dataset(goal.data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        started = time.monotonic()
        trained = training.train(recipe, data, folder / "package", folder / "checkpoints", 1, Silent())
        seconds = time.monotonic() - started
        model = engines.open_model(folder / "package")
        options = EvaluationOptions(split=recipe.evaluation.split, model=recipe.name, dataset=goal.data)
        report = evaluate(model, data, options, Silent()).report
        figures = _figures(report, trained.history)
        shown = {name: figures[name] for name in goal.shown}
        for other in goal.others:
            found = evaluate(model, dataset(other), EvaluationOptions(split="train"), Silent()).report
            shown[f"{goal.metric} on {other}"] = found.metrics.values[goal.metric]
    value = figures[goal.metric]
    return {
        "recipe": goal.recipe,
        "net": recipe.net.name,
        "data": goal.data,
        "metric": goal.metric,
        "value": value,
        "interval": [report.interval.low, report.interval.high] if goal.metric == report.metrics.main else [],
        "goal": goal.bound,
        "reached": goal.reached(value),
        "shown": shown,
        "fit": trained.fit.verdict,
        "seconds": round(seconds, 1),
        "seed": recipe.training.seed,
        "date": datetime.date.today().isoformat(),
    }


def _figures(report: Report, history: dict[str, list[list[float]]]) -> dict[str, float]:
    first = {f"first {name}": points[0][1] for name, points in history.items()}
    last = {name: points[-1][1] for name, points in history.items()}
    return first | last | report.metrics.values


def _keep(name: str, row: dict[str, Any]) -> None:
    """One row more in results/models.json, and the page anew."""
    known = json.loads(RESULT.read_text())["results"] if RESULT.exists() else {}
    rows = {goal.name: known[goal.name] for goal in GOALS if goal.name in known} | {name: row}
    machine.write("models", {"results": {g.name: rows[g.name] for g in GOALS if g.name in rows}})
    PAGE.write_text(page(json.loads(RESULT.read_text())))


def page(result: dict[str, Any]) -> str:
    """models.md."""
    where = result["machine"]
    lines = [
        "# What the nets reach",
        "\nWritten by `python benchmarks/models.py`: each line is a recipe of `examples/recipes`, trained"
        " here and measured on the test split by its package, as it is served. `make figures` measures all of"
        " them again.\n",
        "| figure | net | data | metric | value | 95 % interval | goal | besides | training, s | seed | date |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in result["results"].items():
        verdict = row["goal"] if row["reached"] else f"{row['goal']}: **missed**"
        besides = ", ".join(f"{key} {value:.4g}" for key, value in row["shown"].items())
        interval = " to ".join(f"{end:.4f}" for end in row["interval"])  # of the task's main figure alone
        lines.append(
            f"| {name} | {row['net']} | {row['data']} | {row['metric']} | {row['value']:.4f} "
            f"| {interval} | {verdict} | {besides} | {row['seconds']:.0f} | {row['seed']} "
            f"| {row['date']} |"
        )
    size = f"{where['cores']} cores, {where['memory_gib']} GiB"
    lines.append(f"\n{where['processor']}, {size}, {where['system']}, Python {where['python']}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
