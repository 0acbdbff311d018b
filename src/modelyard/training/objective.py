"""What a module is trained to make small, and what it answers: the usual ones, or its own (`nets.contract.Own`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelyard.tasks.contract import Array, Examples
from modelyard.training.job import Job

_EVALUATED: Final = 1024  # rows of a batch outside of training
_EVALUATED_CELLS: Final = 1 << 16  # and of rows of several lengths, cells
_Tensors = dict[str, Tensor]


class Objective:
    """Losses and answers of one module, from batches of examples."""

    def __init__(self, module: nn.Module, job: Job) -> None:
        self.module, self.job = module, job
        self.names = tuple(spec.name for spec in job.shape.inputs)
        self.mean, self.std = job.target_scale
        own: Any = module
        self._loss = getattr(own, "loss", None)
        self.players: dict[str, list[nn.Parameter]] = (
            {name: list(parameters) for name, parameters in own.players().items()}
            if hasattr(own, "players")
            else {"": list(module.parameters())}
        )

    def losses(self, batch: Examples, player: str = "") -> _Tensors:
        """Means over the batch's rows: "loss" and its parts."""
        inputs, targets = tensors(batch.inputs), tensors(batch.targets)
        if self._loss is not None:
            found: _Tensors = self._loss(inputs, targets, player) if player else self._loss(inputs, targets)
            return found
        target = targets["target"]
        if target.dtype == torch.float64:
            target = ((target - self.mean) / self.std).to(torch.float32)
        return {"loss": loss_of(self.module(*(inputs[name] for name in self.names)), target)}

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
            (rows, {name: value.numpy() for name, value in self.answers(tensors(batch.inputs)).items()})
            for rows, batch in batches(examples)
        ]
        back = np.argsort(np.concatenate([rows for rows, _ in parts]))
        return {name: np.concatenate([part[name] for _, part in parts])[back] for name in parts[0][1]}

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


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in nats of logits [rows, classes], or mean squared error [rows] in deviations."""
    if targets.dtype == torch.int64:
        return functional.cross_entropy(outputs, targets)
    return functional.mse_loss(outputs, targets)


def tensors(named: Mapping[str, Array]) -> _Tensors:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in named.items()}


def batches(examples: Examples) -> Iterator[tuple[np.ndarray[Any, Any], Examples]]:
    """All rows, for what is not training: row numbers and batches, rows of like lengths together."""
    lengths = examples.lengths
    if lengths is None:
        for start in range(0, len(examples), _EVALUATED):
            rows = np.arange(start, min(start + _EVALUATED, len(examples)))
            yield rows, examples.take(rows)
        return
    order, start = np.argsort(lengths, kind="stable"), 0
    while start < len(order):
        end = min(start + _EVALUATED, len(order))
        while end - start > 1 and (end - start) * int(lengths[order[end - 1]]) > _EVALUATED_CELLS:
            end = start + (end - start) // 2
        yield order[start:end], examples.take(order[start:end])
        start = end
