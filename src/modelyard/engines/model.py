"""An opened model: a verified package, its task and its engine."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modelyard import packages, tasks
from modelyard.engines import answering, parity
from modelyard.engines.adapter import Adapted
from modelyard.engines.contract import Array, Engine, EngineOptions, Tensors
from modelyard.engines.table import open_engine
from modelyard.errors import InvalidInput, NotAllowedFormat
from modelyard.tasks import Prepared, Task
from modelyard.tasks.contract import joined
from modelyard.types.package import Adapter, Manifest

_log = logging.getLogger(__name__)


class Model:
    """What serving and evaluation call. One caller at a time.

    manifest   the package's
    digest     the version's hex sha256
    task       `tasks.load(manifest.task)`
    prepared   the task's decode and transform with the package's fitted parameters
    folder     the package's, where it has one
    """

    __slots__ = (
        "_answer",
        "_complete",
        "_groups",
        "_run",
        "_transform",
        "digest",
        "engine",
        "folder",
        "manifest",
        "prepared",
        "task",
    )

    def __init__(self, manifest: Manifest, task: Task, engine: Engine, folder: Path | None = None) -> None:
        self.manifest = manifest
        self.digest = packages.digest(manifest)
        self.task = task
        self.engine = engine
        self.folder = folder
        self.prepared = _prepared(task, manifest, folder)
        self._transform = self.prepared.transform
        self._run = engine.run
        self._answer: Callable[[Tensors], dict[str, Array]] | None = None
        self._groups: Callable[[Tensors], list[list[int]]] | None = getattr(self.prepared, "groups", None)
        self._complete: Callable[[Tensors, Tensors], dict[str, Array]] | None = getattr(
            self.prepared, "complete", None
        )
        if isinstance(manifest.adapter, Adapter):
            adapted = Adapted(manifest.adapter, manifest.tensors)
            self._answer = adapted.answer
            self._transform = adapted.feed

    def predict(self, arrays: Tensors) -> dict[str, Array]:
        """Arrays by the signature's inputs (what `prepared.decode` gives) to its outputs, batch first.

        Raises:
            InvalidInput: names, shapes or values that the model does not take.
        """
        outputs = self._predicted(arrays)
        return outputs if self._complete is None else self._complete(arrays, outputs)

    def _predicted(self, arrays: Tensors) -> dict[str, Array]:
        """What the engine answers to all rows."""
        if self._groups is not None and len(next(iter(arrays.values()))) > 1:
            return self._by_groups(arrays, self._groups(arrays))
        outputs = self._run(self._transform(arrays))
        return outputs if self._answer is None else self._answer(outputs)

    def _by_groups(self, arrays: Tensors, groups: list[list[int]]) -> dict[str, Array]:
        """Each group by itself, and the rows back in their order."""
        if len(groups) == 1:
            outputs = self._run(self._transform(arrays))
            return outputs if self._answer is None else self._answer(outputs)
        parts = [self._run(self._transform({n: a[rows] for n, a in arrays.items()})) for rows in groups]
        back = np.argsort(np.concatenate(groups))
        outputs = {name: array[back] for name, array in joined(parts).items()}
        return outputs if self._answer is None else self._answer(outputs)

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """The engine alone: tensors that are already transformed."""
        return self._run(tensors)


def open_model(
    folder: Path,
    *,
    expected_digest: str | None = None,
    threads: int = 1,
    verify: bool = True,
    replay: bool = True,
) -> Model:
    """Verify the package in `folder`, open its engine and replay its golden inputs.

    `expected_digest` is the version's hex sha256: with it, a model.json that was changed is refused too.

    Raises:
        NotFound, Corrupt, InvalidInput: as `packages.read` says.
        NotAllowedFormat, MissingExtra: as `engines.open_engine` says.
        ParityMismatch: the engine does not answer as the model did in training.
    """
    manifest = packages.read(folder, verify, expected_digest=expected_digest)
    if isinstance(manifest.refusal, str):
        raise NotAllowedFormat(manifest.refusal)
    task = tasks.load(manifest.task)
    if answering.is_answered(manifest):
        prepared = _prepared(task, manifest, folder)
        answers = answering.open_answering(folder, manifest, prepared, threads=threads, replay=replay)
        return Model(manifest, task, answers, folder)
    engine = open_engine(folder, manifest, EngineOptions(threads=threads))
    if replay:
        if manifest.golden is None:
            _log.warning(
                "package %s has no golden inputs; parity was not checked", packages.digest(manifest)[:12]
            )
        parity.replay(engine, folder, manifest)
    return Model(manifest, task, engine, folder)


def _prepared(task: Task, manifest: Manifest, folder: Path | None) -> Prepared:
    try:
        return task.prepare(manifest.preprocessing, folder)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the package's preprocessing is not that of {task.name}: {error!r}") from error
