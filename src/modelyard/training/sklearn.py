"""scikit-learn: calls `fit`, exports through skl2onnx."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.packages import golden as golden_rows
from modelyard.tasks.contract import Array, Examples
from modelyard.training.job import History, Job, Saved
from modelyard.training.sklearn_export import to_onnx
from modelyard.types.package import NetRef
from modelyard.types.report import Exhibit

_STAGES: Final = 10  # in which ensembles are grown, so that a cancel is heard
_SCORED: Final = 10_000
_ANSWERED: Final = 4096  # rows of a batch


def fit(job: Job) -> "FittedEstimator":
    """Fit on the training split; the seed goes to all that draws. A killed run starts again."""
    estimator = job.net.build(job.config, job.shape)
    _seed(estimator, job.training.seed)
    x, y = rows_of(job.train, job), _targets(job)
    job.reporter.progress(0, 1, f"fitting {job.net.name} on {len(y)} rows")
    if estimator.get_params().get("warm_start"):
        _grow(estimator, x, y, job)
    else:
        job.reporter.check()
        estimator.fit(x, y)
    fitted = FittedEstimator(estimator, job)
    fitted.score()
    return fitted


class FittedEstimator:
    """See `job.Fitted`. Its history has one point: there are no epochs."""

    kept_epoch: int | None = None
    may_go_on = False
    adversarial = False
    exhibits: tuple[Exhibit, ...] = ()

    def __init__(self, estimator: Any, job: Job) -> None:
        self._estimator, self._job = estimator, job
        self.history: History = {}

    def score(self) -> None:
        """Report the main metric on both splits."""
        metric = self._job.task.main_metric
        splits = {"train": self._job.train.part(_SCORED), "validation": self._job.validation}
        values = {
            f"{name}/{metric}": self._job.task.main(self.outputs(split), split.targets["target"])
            for name, split in splits.items()
            if split is not None
        }
        self.history = {name: [[1, value]] for name, value in values.items()}
        self._job.reporter.metrics(1, values)
        self._job.reporter.progress(1, 1, "fitted")

    def outputs(self, examples: Examples) -> dict[str, Array]:
        rows = np.arange(len(examples))
        parts = [
            self._answers(examples.take(rows[start : start + _ANSWERED]))
            for start in range(0, len(examples), _ANSWERED)
        ]
        return {self._job.shape.output.name: np.concatenate(parts)}

    def save(self, folder: Path, golden: Sequence[Examples]) -> Saved:
        (folder / "model.onnx").write_bytes(to_onnx(self._estimator, self._job))
        config: dict[str, Any] = msgspec.to_builtins(self._job.config)
        return Saved(
            formats={"onnx": "model.onnx"},
            net=NetRef(name=self._job.net.name, framework="sklearn", config=config),
            golden=golden_rows.write_sets(
                folder, [(self._job.engine_inputs(rows), self.outputs(rows)) for rows in golden]
            ),
            libraries=("scikit-learn", "skl2onnx", "onnx"),
        )

    def _answers(self, examples: Examples) -> npt.NDArray[np.float32]:
        features = rows_of(examples, self._job)
        if self._job.shape.classes is None:
            mean, std = self._job.target_scale
            return np.asarray(self._estimator.predict(features).reshape(-1) * std + mean, dtype=np.float32)
        probabilities = np.zeros((len(examples), self._job.shape.classes), dtype=np.float32)
        probabilities[:, self._estimator.classes_] = self._estimator.predict_proba(features)
        return probabilities


def rows_of(examples: Examples, job: Job) -> npt.NDArray[np.float32]:
    """The engine's input as float32 [rows, features]: pixels normalised and flattened, as the graph does
    it."""
    x = examples.inputs[job.shape.input.name]
    if not job.shape.is_image:
        return x
    mean, std = (np.array(job.shape.preprocessing[k], dtype=np.float32) for k in ("mean", "std"))
    flat: npt.NDArray[np.float32] = ((x.astype(np.float32) - mean) / std).reshape(len(x), -1)
    return flat


def _targets(job: Job) -> npt.NDArray[Any]:
    y: npt.NDArray[Any] = job.train.targets["target"]
    if job.shape.classes is None:
        mean, std = job.target_scale
        return (y - mean) / std
    counts = np.bincount(y, minlength=job.shape.classes)
    if np.count_nonzero(counts) < 2:
        raise InvalidInput("the training split has one class", allowed="2 or more")
    return y


def _seed(estimator: Any, seed: int) -> None:
    names = [name for name in estimator.get_params() if name.rpartition("__")[2] == "random_state"]
    estimator.set_params(**dict.fromkeys(names, seed))


def _grow(estimator: Any, x: Array, y: Array, job: Job) -> None:
    """Add trees in stages; scikit-learn draws the same trees as in one go."""
    trees = estimator.n_estimators
    for stage in range(1, _STAGES + 1):
        count = trees * stage // _STAGES
        if count < 1 or (stage > 1 and count == trees * (stage - 1) // _STAGES):
            continue
        job.reporter.check()
        estimator.set_params(n_estimators=count)
        estimator.fit(x, y)
        job.reporter.progress(count, trees, f"{count} of {trees} trees")
