"""evaluate: a package over a split of a data set version."""

from msgspec import Struct

from modelyard.datasets import open_dataset
from modelyard.engines import open_model
from modelyard.evaluation import Bootstrap, Evaluation, EvaluationOptions, evaluate, write_report
from modelyard.runs.context import RunContext
from modelyard.types.run import RunOutcome


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    model     "name:version", for the report; the package itself is the input `package`
    dataset   "name:version", for the report; the version itself is the input `dataset`
    split     which rows
    seed      of the bootstrap
    """

    model: str = ""
    dataset: str = ""
    split: str = "test"
    seed: int = 0


def run(context: RunContext) -> RunOutcome:
    """Write outputs/report/. Raises what `open_model`, `open_dataset` and `evaluate` do."""
    params = context.params(Params)
    model = open_model(context.input("package"), expected_digest=context.spec.inputs.get("package"))
    dataset = open_dataset(context.input("dataset"), digest=context.spec.inputs.get("dataset"))
    options = EvaluationOptions(
        split=params.split, bootstrap=Bootstrap(seed=params.seed), model=params.model, dataset=params.dataset
    )
    found = evaluate(model, dataset, options, context.reporter)
    write_report(found.report, context.outputs / "report", found.mistakes, found.exhibits)
    return RunOutcome(state="succeeded", outputs={"report": "report"}, summary=summary(found))


def summary(found: Evaluation) -> dict[str, object]:
    """The main figure with its interval, and what it was measured on."""
    report = found.report
    return {
        "metric": report.metrics.main,
        "value": report.interval.value,
        "low": report.interval.low,
        "high": report.interval.high,
        "split": report.split,
        "rows": report.rows,
        "seconds": report.seconds,
    }
