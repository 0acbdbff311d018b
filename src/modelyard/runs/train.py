"""train: a recipe and a data set version into a package, and a report by the engine that will serve it."""

from typing import Any

import msgspec
from msgspec import Struct

from modelyard.datasets import Dataset, open_dataset
from modelyard.engines import open_model
from modelyard.evaluation import Bootstrap, Evaluation, EvaluationOptions, evaluate, write_report
from modelyard.runs.context import RunContext
from modelyard.runs.evaluate import summary
from modelyard.training import Recipe, TrainResult, parse_recipe, train
from modelyard.types.package import Lineage
from modelyard.types.run import RunOutcome


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    recipe    as a user wrote it; `training.parse_recipe` fills the gaps
    dataset   "name:version" of the input `dataset`, for lineage and report; "": what the recipe says
    """

    recipe: dict[str, Any]
    dataset: str = ""


def run(context: RunContext) -> RunOutcome:
    """Write outputs/package/ and outputs/report/. Raises what `train` and `evaluate` do."""
    params = context.params(Params)
    recipe = parse_recipe(params.recipe)
    dataset = open_dataset(context.input("dataset"), digest=context.spec.inputs.get("dataset"))
    name = params.dataset or recipe.data
    lineage = Lineage(run=context.spec.id, dataset=name, dataset_digest=dataset.digest)
    package = context.outputs / "package"
    trained = train(
        recipe, dataset, package, context.checkpoints, context.spec.attempt, context.reporter, lineage=lineage
    )
    found = _evaluated(context, recipe, dataset, name, trained)
    write_report(found.report, context.outputs / "report", found.mistakes, found.exhibits)
    return RunOutcome(
        state="succeeded",
        outputs={"package": "package", "report": "report"},
        summary=summary(found) | _summary(trained, found),
    )


def _evaluated(
    context: RunContext, recipe: Recipe, dataset: Dataset, name: str, trained: TrainResult
) -> Evaluation:
    """The package on the recipe's split, with training's curves and verdict in the report."""
    options = EvaluationOptions(
        split=recipe.evaluation.split,
        bootstrap=Bootstrap(
            resamples=recipe.evaluation.bootstrap,
            confidence=recipe.evaluation.confidence,
            seed=recipe.training.seed,
        ),
        model=recipe.name,
        dataset=name,
    )
    model = open_model(context.outputs / "package")
    found = evaluate(model, dataset, options, context.reporter)
    report = msgspec.structs.replace(found.report, fit=trained.fit, history=trained.history)
    return Evaluation(report=report, mistakes=found.mistakes, exhibits=(*trained.exhibits, *found.exhibits))


def _summary(trained: TrainResult, found: Evaluation) -> dict[str, object]:
    net = trained.manifest.net
    sparsity = trained.history.get("sparsity")
    return ({"sparsity": round(sparsity[-1][1], 4)} if sparsity else {}) | {
        "net": net.name if net is not None else "",
        "fit": trained.fit.verdict,
        "epochs": max((len(points) for points in trained.history.values()), default=0),
        "seconds": round(trained.seconds, 3),
        "digest": found.report.model_digest,
    }
