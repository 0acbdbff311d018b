"""finetune: a base, a data set version and a recipe into a package, and a report of its perplexity.

A kind of its own and not `train`: its recipe names a base in the place of a net, its run has a second input, and
its figures are perplexities before and after, for which no engine is opened. `yard train` takes both recipes.
"""

from typing import Any

from msgspec import Struct

from modelyard import packages, tasks
from modelyard.datasets import open_dataset
from modelyard.evaluation import Bootstrap, bootstrap, write_report
from modelyard.runs.context import RunContext
from modelyard.training.finetune_recipe import FinetuneRecipe, parse_finetune
from modelyard.types.package import Lineage
from modelyard.types.report import Report
from modelyard.types.run import RunOutcome


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    recipe    as a user wrote it; `training.finetune_recipe.parse_finetune` fills the gaps
    dataset   "name:version" of the input `dataset`, for lineage and report; "": what the recipe says
    base      the same of the input `base`, a package
    """

    recipe: dict[str, Any]
    dataset: str = ""
    base: str = ""


def run(context: RunContext) -> RunOutcome:
    """Write outputs/package/ and outputs/report/. Raises what `finetune` does."""
    from modelyard.training.finetune import Place, finetune

    params = context.params(Params)
    recipe = parse_finetune(params.recipe)
    dataset = open_dataset(context.input("dataset"), digest=context.spec.inputs.get("dataset"))
    base = context.input("base")
    packages.read(base, expected_digest=context.spec.inputs.get("base"))
    name = params.dataset or recipe.data
    lineage = Lineage(run=context.spec.id, dataset=name, dataset_digest=dataset.digest)
    place = Place(
        base=base,
        out=context.outputs / "package",
        checkpoints=context.checkpoints,
        attempt=context.spec.attempt,
    )
    tuned = finetune(recipe, dataset, place, context.reporter, lineage)
    report = _report(recipe, name, tuned, context)
    write_report(report, context.outputs / "report")
    return RunOutcome(
        state="succeeded", outputs={"package": "package", "report": "report"}, summary=_summary(report, tuned)
    )


def _report(recipe: FinetuneRecipe, dataset: str, tuned: Any, context: RunContext) -> Report:
    """Perplexity over documents, with the base's beside it and the curves of training."""
    task = tasks.load(recipe.task)
    outputs = {"loss": tuned.after, "loss_before": tuned.before}
    options = Bootstrap(
        resamples=recipe.evaluation.bootstrap,
        confidence=recipe.evaluation.confidence,
        seed=recipe.training.seed,
    )
    return Report(
        model=recipe.name,
        model_digest=packages.digest(tuned.manifest),
        task=recipe.task,
        dataset=dataset,
        dataset_digest=tuned.manifest.lineage.dataset_digest or "",
        split=tuned.split,
        rows=len(tuned.tokens),
        metrics=task.metrics(outputs, tuned.tokens, ()),
        interval=bootstrap(task, outputs, tuned.tokens, options, context.reporter.check),
        history=tuned.history,
        recipe=tuned.manifest.lineage.recipe,
        seconds=round(tuned.seconds, 3),
        notes=tuned.notes,
    )


def _summary(report: Report, tuned: Any) -> dict[str, object]:
    """The main figure with its interval and the base's beside it."""
    steps = [points[-1][0] for points in tuned.history.values() if points]
    return {
        "metric": report.metrics.main,
        "value": report.interval.value,
        "low": report.interval.low,
        "high": report.interval.high,
        "before": report.metrics.values["perplexity_before"],
        "split": report.split,
        "rows": report.rows,
        "tokens": report.metrics.values["tokens"],
        "trained_tokens": tuned.trained,
        "steps": int(max(steps, default=0)),
        "seconds": round(tuned.seconds, 3),
        "digest": report.model_digest,
    }
