"""A package over a split, by its own decode, transform and engine: the path that serving takes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.datasets import Dataset, samples
from modelyard.engines import Model, open_judge
from modelyard.errors import InvalidInput
from modelyard.evaluation.interval import Bootstrap, bootstrap
from modelyard.evaluation.mistakes import Mistake, MistakeKeeper
from modelyard.tasks.contract import EXHIBITED, Compared, Depicting
from modelyard.tasks.mosaic import to_pixels
from modelyard.types.report import Exhibit, Report
from modelyard.types.run import Reporter

Array = npt.NDArray[Any]
BATCH_ROWS: Final = 256


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """`model` and `dataset` are names for the report."""

    split: str = "test"
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    model: str = ""
    dataset: str = ""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A report and the wrong answers that its page shows."""

    report: Report
    mistakes: tuple[Mistake, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()


def evaluate(model: Model, dataset: Dataset, options: EvaluationOptions, reporter: Reporter) -> Evaluation:
    """Every figure of the model's task over `options.split`.

    Raises:
        InvalidInput: an empty split, a column or a class that does not fit, or outputs that are not finite.
        Cancelled: by the reporter.
    """
    start = time.monotonic()
    manifest = model.manifest
    rows = dataset.manifest.split_rows.get(options.split, 0)
    if rows == 0:
        raise InvalidInput(
            "the split to evaluate on has no rows",
            came=options.split,
            allowed=dict(dataset.manifest.split_rows),
        )
    outputs, targets, mistakes = _answers(model, dataset, options.split, reporter)
    metrics = model.task.metrics(outputs, targets, manifest.labels)
    if baseline := _baseline(model, dataset, options.split):
        metrics = msgspec.structs.replace(metrics, values=metrics.values | baseline)
    report = Report(
        model=options.model,
        model_digest=model.digest,
        task=manifest.task,
        dataset=options.dataset,
        dataset_digest=dataset.digest,
        split=options.split,
        rows=len(targets),
        metrics=metrics,
        interval=bootstrap(model.task, outputs, targets, options.bootstrap, reporter.check),
        labels=manifest.labels,
        recipe=manifest.lineage.recipe,
        notes=_notes(model, dataset, options.split),
        seconds=round(time.monotonic() - start, 3),
    )
    return Evaluation(report=report, mistakes=mistakes, exhibits=_exhibits(model, dataset, options.split))


def _answers(
    model: Model, dataset: Dataset, split: str, reporter: Reporter
) -> tuple[dict[str, Array], Array, tuple[Mistake, ...]]:
    """The engine's outputs and the targets of all rows, and the worst mistakes of a classifier."""
    manifest, task = model.manifest, model.task
    judge = open_judge(model.folder, manifest.preprocessing) if task.judged else None
    rows = dataset.manifest.split_rows[split]
    keeper = MistakeKeeper(manifest.labels)
    found: list[dict[str, Array]] = []
    targets: list[Array] = []
    done = 0
    for columns, values in samples.batches(
        task, dataset, split, manifest.preprocessing, _target(model, dataset), BATCH_ROWS
    ):
        reporter.check()
        targets.append(task.targets(values, manifest.labels))
        arrays = model.prepared.decode(columns)
        outputs = _finite(model.predict(arrays))
        if judge is not None:
            assert isinstance(model.prepared, Depicting)
            arrays = {"image": to_pixels(outputs["image"])}
            outputs = judge.compared(arrays["image"], model.prepared.pixels(columns))
        found.append(outputs)
        if task.target_kind == "class" and "probabilities" in outputs:
            keeper.add(arrays, found[-1]["probabilities"], targets[-1])
        done += len(targets[-1])
        reporter.progress(done, rows, "evaluating")
    if not found:
        raise InvalidInput("the split has too few rows for one sample", came=f"{rows} rows of {split}")
    outputs = {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}
    return outputs, np.concatenate(targets), keeper.mistakes


def _wanted(features: list[str], target: samples.Target) -> list[str]:
    return list(dict.fromkeys([*features, *(target if isinstance(target, tuple) else (target,))]))


def _baseline(model: Model, dataset: Dataset, split: str) -> dict[str, float]:
    """Of the training split, where the data set has one."""
    task = model.task
    if not isinstance(task, Compared) or not dataset.manifest.split_rows.get("train"):
        return {}
    names = _wanted(task.features(model.manifest.preprocessing), _target(model, dataset))
    return task.baseline(dataset.columns("train", names), dataset.columns(split, names), model.prepared)


def _exhibits(model: Model, dataset: Dataset, split: str) -> tuple[Exhibit, ...]:
    task, manifest, target = model.task, model.manifest, _target(model, dataset)
    columns, values = samples.few(task, dataset, split, manifest.preprocessing, target, EXHIBITED)
    shown = {**columns, **(values if isinstance(target, tuple) else {target: values})}
    return tuple(task.exhibits(model.predict, model.prepared, shown, manifest.labels))


def _target(model: Model, dataset: Dataset) -> samples.Target:
    """Where a task has no target, a model is compared with its own input."""
    names = [column.name for column in dataset.manifest.schema.columns]
    given = model.manifest.preprocessing.get("target") or dataset.manifest.schema.label or ""
    target: samples.Target = tuple(given) if isinstance(given, list) else str(given)
    if not target and model.task.target_kind == "none":
        target = model.task.features(model.manifest.preprocessing)[0]
    targets = target if isinstance(target, tuple) else (target,)
    for name in (*model.task.features(model.manifest.preprocessing), *targets):
        if name not in names:
            raise InvalidInput("the data set lacks a column that the model needs", came=names, allowed=name)
    return target


def _finite(outputs: Mapping[str, Array]) -> dict[str, Array]:
    for name, values in outputs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InvalidInput("the model answers with numbers that are not finite", came=name)
    return dict(outputs)


def _notes(model: Model, dataset: Dataset, split: str) -> tuple[str, ...]:
    trained_on = model.manifest.lineage.dataset_digest
    if split == "train" and trained_on == dataset.digest:
        return ("These are the rows that the model was trained on; figures on them flatter it.",)
    if trained_on is not None and trained_on != dataset.digest:
        return ("The data set is not the version that the model was trained on.",)
    return ()
