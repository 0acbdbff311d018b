"""Training a recipe on a data set into a package."""

import dataclasses
import hashlib
import importlib
import json
import math
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET

from modelyard import engines, nets, packages, tasks
from modelyard.datasets import Dataset, samples
from modelyard.errors import InvalidInput, ParityMismatch
from modelyard.nets import Shape
from modelyard.packages import golden
from modelyard.tasks import Task
from modelyard.tasks.contract import Examples, Spanning, joined
from modelyard.tasks.options import resolve
from modelyard.tasks.several import labelled as named_labels
from modelyard.training import augment, several
from modelyard.training.diagnosis import (
    Evidence,
    Skill,
    classification_skill,
    diagnose,
    diagnose_losses,
    diagnose_players,
    regression_skill,
)
from modelyard.training.job import Fitted, Framework, History, Job, Saved
from modelyard.training.judging import train_judge
from modelyard.training.recipe import Recipe, columns_of
from modelyard.types.package import Lineage, Manifest
from modelyard.types.report import Exhibit, FitVerdict
from modelyard.types.run import Reporter

_COMPARED: Final = 2000  # rows on which the export is compared with the framework, beyond the golden ones
_SCORED: Final = 10_000  # training rows of the fit verdict
_TOGETHER: Final = 256  # rows of a batch of it
_A_LENGTH: Final = 16  # golden rows of one length

FRAMEWORKS: Final[dict[str, str]] = {
    "pytorch": "modelyard.training.pytorch",
    "closed-form": "modelyard.training.closed_form",
    "sklearn": "modelyard.training.sklearn",
}
"""Framework -> the module that has its `fit`."""


class TrainResult(msgspec.Struct, frozen=True, kw_only=True):
    """`history` maps a metric to its points [epoch, value]; `seconds` is the time of fitting and export; `exhibits`
    show how it was trained."""

    manifest: Manifest
    history: History
    fit: FitVerdict
    seconds: float
    exhibits: tuple[Exhibit, ...] = ()


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    checkpoints: Path,
    attempt: int,
    reporter: Reporter,
    lineage: Lineage | None = None,
) -> TrainResult:
    """Fit preprocessing and net on the training split and leave a package in the folder `out`.

    `checkpoints` is kept over attempts: where it holds a good one of this recipe and data, training goes on
    from it. `lineage` is stored with the recipe filled in.

    Raises:
        InvalidInput: the data does not fit the task, or the loss diverged.
        ParityMismatch: the exported model does not answer as the trained one does.
        MissingExtra: the net's framework is not installed.
        Cancelled: from the reporter.
    """
    started = time.monotonic()
    task = tasks.load(recipe.task)
    reporter.progress(0, 1, "preparing data")
    data = _read(task, recipe, dataset, out)
    job = _job(task, recipe, data, checkpoints, attempt, reporter)
    if task.judged:
        data.preprocessing["judge"] = train_judge(job, len(data.labels), out)
        job = dataclasses.replace(job, judge=engines.open_judge(out, data.preprocessing))
    fitted = _fitted(job)
    reporter.check()
    reporter.progress(1, 1, "exporting")
    rows = job.validation if job.validation is not None and len(job.validation) >= golden.ROWS else job.train
    saved = fitted.save(out, _golden_sets(rows))
    lineage = msgspec.structs.replace(lineage or Lineage(), recipe=recipe.to_dict())
    manifest = packages.write(out, _manifest(task, data, saved, lineage))
    _compare(out, fitted, job)
    fit = _verdict(fitted, job)
    return TrainResult(
        manifest=manifest,
        history=fitted.history,
        fit=fit,
        seconds=time.monotonic() - started,
        exhibits=(*augment.exhibits(job), *fitted.exhibits),
    )


def _fitted(job: Job) -> Fitted:
    framework = FRAMEWORKS[job.net.framework]
    if "targets" in job.shape.preprocessing:
        return several.fit(job, framework)
    module: Framework = importlib.import_module(framework)
    return module.fit(job)


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """A data set as tensors, by the preprocessing fitted on its training split; `folder` is the package's."""

    folder: Path
    preprocessing: dict[str, Any]
    labels: tuple[str, ...]
    train: Any
    validation: Any
    digest: str


def _read(task: Task, recipe: Recipe, dataset: Dataset, folder: Path) -> _Data:
    schema = dataset.manifest.schema
    names, target = columns_of(recipe, schema)
    labels = _labels(task, dataset, names, target)
    targets = target if isinstance(target, tuple) else (target,) if target else ()
    wanted = list(dict.fromkeys([*names, *targets]))
    columns = dataset.columns("train", wanted)
    if not len(columns[wanted[0]]):
        raise InvalidInput("the training split has no rows", came=dataset.manifest.split_rows)
    schema = msgspec.structs.replace(schema, label=target if target and isinstance(target, str) else None)
    folder.mkdir(parents=True, exist_ok=True)
    fitted_on = {name: columns[name] for name in (wanted if task.target_kind == "other" else names)}
    preprocessing = task.fit(fitted_on, schema, recipe.preprocessing, folder)
    if isinstance(target, tuple):
        scales = [_scale(task, columns[name], labels) for name in target]
        preprocessing |= {"target": list(target), "targets": scales}
    elif target:
        preprocessing |= {"target": target} | _scale(task, columns[target], labels)
    if task.judged:
        preprocessing |= {"labels": list(labels)}
    del columns, fitted_on
    prepared = task.prepare(preprocessing, folder)

    def split(name: str) -> Examples | None:
        if isinstance(task, Spanning):
            found, compared = samples.spanning(task, dataset, name, preprocessing, target)
            return task.examples(prepared, found, compared, labels) if len(compared) else None
        part = dataset.columns(name, wanted)
        if not len(part[wanted[0]]):
            return None
        values = samples.values_of(part, target) if target else None
        return task.examples(prepared, {name: part[name] for name in names}, values, labels)

    train = split("train")
    if train is None:
        rows = dataset.manifest.split_rows["train"]
        raise InvalidInput("the training split has too few rows for one sample", came=f"{rows} rows")
    return _Data(
        folder=folder,
        preprocessing=preprocessing,
        labels=labels,
        train=train,
        validation=split("validation"),
        digest=dataset.digest,
    )


def _labels(task: Task, dataset: Dataset, names: Sequence[str], target: samples.Target) -> tuple[str, ...]:
    """Of a target of classes; also of one that is among the features, for a judge to be trained by."""
    if isinstance(target, tuple):
        own = {name: _labels(task, dataset, names, name) for name in target}
        return tuple(label for name in target for label in named_labels(name, own[name]))
    if task.target_kind == "other":
        return tuple(task.class_names(dataset.columns(None, [target])[target]))
    if task.target_kind != "class" and not (task.judged and target in names):
        return ()
    if target == dataset.manifest.schema.label and dataset.manifest.class_names:
        return dataset.manifest.class_names
    from modelyard.tasks.answers import label_name

    values = dataset.columns(None, [target])[target].tolist()
    found = {name for value in values if (name := label_name(value)) is not None}
    return tuple(sorted(found, key=_by_value))


def _scale(task: Task, column: Any, labels: Sequence[str]) -> dict[str, Any]:
    """Of a target of numbers: its mean and deviation in training."""
    if task.target_kind != "number":
        return {}
    y = task.targets(column, labels)
    std = float(np.std(y))
    return {"target_mean": float(np.mean(y)), "target_std": std if std > 0 else 1.0}


def _by_value(name: str) -> tuple[float, str]:
    """Numbers by value and before all else, as a data set sorts its classes."""
    try:
        return float(name), name
    except ValueError:
        return math.inf, name


def _job(task: Task, recipe: Recipe, data: _Data, checkpoints: Path, attempt: int, reporter: Reporter) -> Job:
    net = nets.load_for(recipe.net.name, task.name)
    tensors = task.tensors(data.preprocessing, data.labels)
    decides = {**recipe.to_dict(), "evaluation": None, "name": None, "data": data.digest}
    return Job(
        task=task,
        net=net,
        config=resolve(net.config, recipe.net.config, "recipe.net"),
        training=recipe.training,
        shape=Shape(inputs=tensors.inputs, outputs=tensors.outputs, preprocessing=data.preprocessing),
        train=data.train,
        validation=data.validation,
        digest=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        checkpoints=checkpoints,
        attempt=attempt,
        reporter=reporter,
        labels=data.labels,
        folder=data.folder,
    )


def _manifest(task: Task, data: _Data, saved: Saved, lineage: Lineage) -> Manifest:
    return Manifest(
        task=task.name,
        signature=task.signature(data.preprocessing, data.labels),
        tensors=task.tensors(data.preprocessing, data.labels),
        preprocessing=data.preprocessing,
        labels=data.labels,
        formats=saved.formats,
        net=saved.net,
        golden=saved.golden,
        replies=UNSET if saved.replies is None else saved.replies,
        lineage=lineage,
        environment=_environment(saved.libraries),
    )


def _environment(libraries: tuple[str, ...]) -> dict[str, str]:
    import platform

    names = ("modelyard", "numpy", "pillow", "onnxruntime", *libraries)
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _compare(folder: Path, fitted: Fitted, job: Job) -> None:
    """Open the package as serving will (which replays the golden rows) and compare more rows with the
    framework."""
    model = engines.open_model(folder)
    tolerance = model.manifest.golden
    if (
        tolerance is None
    ):  # a generator's replies were asked again, and its graphs compared when they were written
        return
    rows = job.train.part(_COMPARED)
    answers = _engine_answers(model, job, rows)
    for name, expected in fitted.outputs(rows).items():
        found = answers[name]
        error = np.abs(found - expected) - tolerance.atol - tolerance.rtol * np.abs(expected)
        if not (error <= 0).all():
            raise ParityMismatch(
                f"{name} of the exported model differs from the trained one's in {int((error > 0).sum())} of"
                f" {error.size} values",
                came=f"absolute error {np.abs(found - expected).max():.3g}",
                allowed=f"atol {tolerance.atol:g}, rtol {tolerance.rtol:g}",
            )


def _engine_answers(model: engines.Model, job: Job, rows: Examples) -> dict[str, np.ndarray[Any, Any]]:
    """In batches, each as long as its longest row."""
    found = [
        model.run(job.engine_inputs(rows.take(np.arange(start, min(start + _TOGETHER, len(rows))))))
        for start in range(0, len(rows), _TOGETHER)
    ]
    return joined(found)


def _golden_sets(examples: Examples) -> list[Examples]:
    """Rows to hold engines to: of several lengths, where there are such, the shortest, usual and longest."""
    lengths = examples.lengths
    if lengths is None:
        return [examples.part(golden.ROWS)]
    order = np.argsort(lengths, kind="stable")
    few = min(_A_LENGTH, len(order))
    starts = dict.fromkeys((0, (len(order) - few) // 2, len(order) - few))
    return [examples.take(order[start : start + few]) for start in starts]


def _verdict(fitted: Fitted, job: Job) -> FitVerdict:
    if isinstance(fitted, several.FittedSeveral):
        return several.verdict({name: _verdict(one, part) for name, (part, one) in fitted.each.items()})
    task, history = job.task, fitted.history
    if fitted.adversarial:
        if task.target_kind not in ("class", "number"):
            return diagnose_players(history, task.main_metric)
        history = {}
    if task.target_kind not in ("class", "number"):
        return diagnose_losses(history, fitted.kept_epoch, fitted.may_go_on)
    train = job.train.part(_SCORED)
    return diagnose(
        Evidence(
            metric=job.task.main_metric,
            train=_skill(fitted, job, train),
            validation=None if job.validation is None else _skill(fitted, job, job.validation),
            history=history,
            kept_epoch=fitted.kept_epoch,
            may_go_on=fitted.may_go_on,
        )
    )


def _skill(fitted: Fitted, job: Job, split: Examples) -> Skill:
    y = split.targets["target"]
    metric = job.task.main(job.judged(fitted.outputs(split), split), y)
    if job.task.target_kind == "number":
        return regression_skill(metric, float(np.std(y)), len(split))
    return classification_skill(metric, float(np.bincount(y).max()) / len(split), len(split))
