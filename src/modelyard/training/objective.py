"""What a module is trained to make small, and what it answers: the usual ones, or its own (`nets.contract.Own`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Array, Examples, joined
from modelyard.training import devices
from modelyard.training.class_weights import class_weights
from modelyard.training.job import Job
from modelyard.training.recipe import GradientTraining, Precision

_EVALUATED: Final = 1024  # rows of a batch outside of training
_EVALUATED_CELLS: Final = 1 << 16  # and of rows of several lengths, cells
_EVALUATED_VALUES: Final = (
    1 << 23
)  # and of large rows, as images, values: a net's maps take many times as many
_Tensors = dict[str, Tensor]


class Objective:
    """Losses and answers of one module, from batches of examples. `device` is where the module is."""

    def __init__(self, module: nn.Module, job: Job, device: torch.device | None = None) -> None:
        self.module, self.job = module, job
        self.device = device or torch.device("cpu")
        self.names = tuple(spec.name for spec in job.shape.inputs)
        self.mean, self.std = job.target_scale
        own: Any = module
        self._loss = getattr(own, "loss", None)
        self.players: dict[str, list[nn.Parameter]] = (
            {name: list(parameters) for name, parameters in own.players().items()}
            if hasattr(own, "players")
            else {"": [parameter for parameter in module.parameters() if parameter.requires_grad]}
        )
        self._smoothing = 0.0
        self._precision: Precision = "float32"
        self._weights: Tensor | None = None
        if isinstance(job.training, GradientTraining):
            self._smoothing = job.training.label_smoothing
            self._weights = self._class_weights(job.training)
            self._precision = job.training.precision

    def losses(self, batch: Examples, player: str = "") -> _Tensors:
        """Means over the batch's rows: "loss" and its parts. In training alone labels are smoothed, and numbers of
        less precision used; classes are weighted in evaluation too."""
        inputs, targets = self.tensors(batch.inputs), self.tensors(batch.targets)
        with self._mixed():
            if self._loss is not None:
                found: _Tensors = (
                    self._loss(inputs, targets, player) if player else self._loss(inputs, targets)
                )
                return found
            outputs = self.module(*(inputs[name] for name in self.names))
        target = targets["target"]
        if target.dtype == torch.float64:
            target = ((target - self.mean) / self.std).to(torch.float32)
            return {"loss": functional.mse_loss(outputs.to(torch.float32), target)}
        smoothing = self._smoothing if self.module.training else 0.0
        return {"loss": cross_entropy(outputs.to(torch.float32), target, smoothing, self._weights)}

    def tensors(self, named: Mapping[str, Array]) -> _Tensors:
        """On the module's device."""
        if self.device.type == "cpu":
            return tensors(named)
        return {name: value.to(self.device, non_blocking=True) for name, value in tensors(named).items()}

    def answers(self, inputs: Mapping[str, Tensor]) -> _Tensors:
        """The engine's outputs for the engine's inputs."""
        given = [inputs[name] for name in self.names]
        own: Any = self.module
        if hasattr(own, "answer"):
            found: _Tensors = own.answer(*given)
            return found
        return usual(self.module(*given), [spec.name for spec in self.job.shape.outputs], self.mean, self.std)

    @torch.inference_mode()
    def outputs(self, examples: Examples) -> dict[str, Array]:
        """`answers` over all rows, in their order."""
        self.module.eval()
        parts = [
            (rows, {n: value.cpu().numpy() for n, value in self.answers(self.tensors(batch.inputs)).items()})
            for rows, batch in batches(examples)
        ]
        back = np.argsort(np.concatenate([rows for rows, _ in parts]))
        return {name: array[back] for name, array in joined([part for _, part in parts]).items()}

    @torch.inference_mode()
    def evaluate(self, examples: Examples) -> dict[str, float]:
        """Means of the losses over all rows, parts of several players under "player/part"."""
        self.module.eval()
        sums: dict[str, float] = {}
        for rows, batch in batches(examples):
            for player in self.players:
                for name, value in self.losses(batch, player).items():
                    key = f"{player}/{name}" if player else name
                    sums[key] = sums.get(key, 0.0) + float(value) * len(rows)
        return {name: value / len(examples) for name, value in sums.items()}

    def _mixed(self) -> AbstractContextManager[object]:
        return devices.mixed(self._precision, self.device) if self.module.training else nullcontext()

    def _class_weights(self, given: GradientTraining) -> Tensor | None:
        """Raises InvalidInput where a recipe says of classes what this task or net has not."""
        asked = {"label_smoothing": given.label_smoothing, "class_weights": given.class_weights}
        classes = self.job.shape.classes
        usual_loss = self._loss is None and self.job.task.target_kind == "class" and classes
        for key, value in asked.items():
            if value and not usual_loss:
                raise InvalidInput(
                    f"recipe.training.{key} does not apply: net {self.job.net.name!r} is not trained by the"
                    f" cross entropy of classes here",
                    came=value,
                )
        if given.class_weights is None or not classes:
            return None
        targets = np.asarray(self.job.train.targets["target"])
        weights = class_weights(given.class_weights, targets, classes, self.job.labels)
        return torch.from_numpy(weights).to(self.device)


class Answering(nn.Module):
    """A module as it is exported: the engine's inputs in, the engine's outputs in their order out."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.module = objective.module
        self._objective = objective
        self._outputs = [spec.name for spec in objective.job.shape.outputs]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self._objective.answers(dict(zip(self._objective.names, inputs, strict=True)))
        return tuple(found[name] for name in self._outputs)


def usual(raw: Tensor, names: Sequence[str], mean: float, std: float) -> _Tensors:
    """Logits as `probabilities` and `logits`, or deviations as a `prediction` in the target's unit."""
    found = {
        "probabilities": lambda: raw.softmax(dim=1),
        "logits": lambda: raw,
        "prediction": lambda: raw * std + mean,
    }
    return {name: found[name]() for name in names}


def cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean over rows, in nats, of logits [rows, classes] and class numbers int64 [rows], or shares of each class
    float32 [rows, classes] (mixup).

    smoothing  of the labels (Szegedy et al. 2016, Rethinking the Inception Architecture, section 7)
    weights    what a row of each class counts, float32 [classes]
    """
    if weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    # torch's mean would divide by the weights of the batch's rows: a batch of rare rows would count as any other.
    rows = functional.cross_entropy(
        logits, targets, weight=weights, label_smoothing=smoothing, reduction="none"
    )
    return rows.mean()


def tensors(named: Mapping[str, Array]) -> _Tensors:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in named.items()}


def batches(examples: Examples) -> Iterator[tuple[np.ndarray[Any, Any], Examples]]:
    """All rows, for what is not training: row numbers and batches, rows of like lengths together."""
    lengths = examples.lengths
    if lengths is None:
        values = sum(array[0].size for array in examples.inputs.values()) if len(examples) else 1
        together = max(1, min(_EVALUATED, _EVALUATED_VALUES // max(1, values)))
        for start in range(0, len(examples), together):
            rows = np.arange(start, min(start + together, len(examples)))
            yield rows, examples.take(rows)
        return
    order, start = np.argsort(lengths, kind="stable"), 0
    while start < len(order):
        end = min(start + _EVALUATED, len(order))
        while end - start > 1 and (end - start) * int(lengths[order[end - 1]]) > _EVALUATED_CELLS:
            end = start + (end - start) // 2
        yield order[start:end], examples.take(order[start:end])
        start = end
