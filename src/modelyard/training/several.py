"""Several targets: a net of its own for each, trained one after the other, and all in one package.

What scikit-learn's MultiOutputClassifier and MultiOutputRegressor do for any estimator, here for any net of any
framework: each is trained as if its target were the only one, and their graphs become one with an output for
each."""

import dataclasses
import hashlib
import importlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from modelyard.nets import Shape
from modelyard.packages import golden as golden_rows
from modelyard.tasks import several
from modelyard.tasks.contract import Array, Examples
from modelyard.training.job import Fitted, Framework, History, Job, Saved
from modelyard.training.onnx_beside import beside
from modelyard.types.package import NetRef
from modelyard.types.report import Exhibit, FitVerdict
from modelyard.types.run import Reporter

WEIGHTS = "weights.safetensors"


def fit(job: Job, framework: str) -> "FittedSeveral":
    """`framework` is the module with the `fit` of one target."""
    found: dict[str, tuple[Job, Fitted]] = {}
    module: Framework = importlib.import_module(framework)
    for one in jobs(job):
        name = str(one.shape.preprocessing["target"])
        found[name] = (one, module.fit(one))
    return FittedSeveral(job, found)


def jobs(job: Job) -> list[Job]:
    """The work of each target: its output, its scale and labels, its column of targets."""
    given = job.shape.preprocessing
    every = []
    for place, (name, spec) in enumerate(zip(given["target"], job.shape.outputs, strict=True)):
        own = {**given, **given["targets"][place], "target": name}
        plain = msgspec.structs.replace(spec, name=spec.name.partition(".")[0])
        every.append(
            dataclasses.replace(
                job,
                shape=Shape(inputs=job.shape.inputs, outputs=(plain,), preprocessing=own),
                train=_column(job.train, place),
                validation=None if job.validation is None else _column(job.validation, place),
                digest=hashlib.sha256(f"{job.digest} {name}".encode()).hexdigest(),
                checkpoints=job.checkpoints / f"target-{place}",
                reporter=_Part(job.reporter, name, place, len(job.shape.outputs)),
                labels=several.labels_of(name, job.labels),
            )
        )
    return every


def verdict(each: Mapping[str, FitVerdict]) -> FitVerdict:
    """The first that is not good, with every reason."""
    worst = next((v.verdict for v in each.values() if v.verdict not in ("good", "unknown")), None)
    found = worst or next(iter(each.values())).verdict
    return FitVerdict(
        verdict=found, why="; ".join(f"{name}: {v.verdict}, {v.why}" for name, v in each.items())
    )


class FittedSeveral:
    """See `job.Fitted`. `each` has every target's work and what came of it."""

    adversarial = False
    kept_epoch: int | None = None

    def __init__(self, job: Job, each: Mapping[str, tuple[Job, Fitted]]) -> None:
        self._job, self.each = job, each
        self.may_go_on = any(fitted.may_go_on for _, fitted in each.values())

    @property
    def history(self) -> History:
        return {
            _named(figure, name): points
            for name, (_, fitted) in self.each.items()
            for figure, points in fitted.history.items()
        }

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        return tuple(
            msgspec.structs.replace(exhibit, title=f"{exhibit.title} ({name})")
            for name, (_, fitted) in self.each.items()
            for exhibit in fitted.exhibits
        )

    def outputs(self, examples: Examples) -> dict[str, Array]:
        found = {}
        for place, (name, (_, fitted)) in enumerate(self.each.items()):
            for plain, values in fitted.outputs(_column(examples, place)).items():
                found[f"{plain}.{name}"] = values
        return found

    def save(self, folder: Path, golden: Sequence[Examples]) -> Saved:
        """Each one's files in a folder of its own at first."""
        parts: list[tuple[str, Path, Saved]] = []
        for place, (name, (_, fitted)) in enumerate(self.each.items()):
            part = folder / f".target-{place}"
            part.mkdir()
            parts.append((name, part, fitted.save(part, [_column(rows, place) for rows in golden])))
        graphs = {name: (part / "model.onnx").read_bytes() for name, part, _ in parts}
        inputs = [spec.name for spec in self._job.shape.inputs]
        (folder / "model.onnx").write_bytes(beside(graphs, inputs))
        weights = _weights({name: part / WEIGHTS for name, part, _ in parts}, folder / WEIGHTS)
        for _, part, _ in parts:
            shutil.rmtree(part)
        saved = parts[0][2]
        return Saved(
            formats={"onnx": "model.onnx"},
            net=NetRef(
                name=saved.net.name, framework=saved.net.framework, config=saved.net.config, weights=weights
            ),
            golden=golden_rows.write_sets(
                folder, [(self._job.engine_inputs(rows), self.outputs(rows)) for rows in golden]
            ),
            libraries=saved.libraries,
        )


class _Part:
    """A Reporter of one target's share of the work."""

    def __init__(self, reporter: Reporter, name: str, place: int, count: int) -> None:
        self._reporter, self._name, self._place, self._count = reporter, name, place, count

    def metrics(self, step: int, values: dict[str, float]) -> None:
        self._reporter.metrics(step, {_named(figure, self._name): value for figure, value in values.items()})

    def progress(self, done: float, total: float, text: str = "") -> None:
        share = done / total if total else 0.0
        self._reporter.progress(self._place + share, self._count, f"{self._name}: {text}")

    def check(self) -> None:
        self._reporter.check()


def _named(figure: str, name: str) -> str:
    return f"{figure} ({name})"


def _column(examples: Examples, place: int) -> Examples:
    target = np.ascontiguousarray(examples.targets["target"][:, place])
    return Examples(inputs=examples.inputs, targets={"target": target}, ragged=examples.ragged)


def _weights(parts: dict[str, Path], path: Path) -> str | None:
    """One safetensors file with the tensors of all under "target/"; None where the nets keep none."""
    if not all(part.is_file() for part in parts.values()):
        return None
    from safetensors.numpy import load_file, save_file

    tensors: dict[str, Any] = {
        f"{name}/{key}": value for name, part in parts.items() for key, value in load_file(part).items()
    }
    save_file(tensors, path)
    return path.name
