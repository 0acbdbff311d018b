"""The PyTorch training loop: epochs over data in memory, a checkpoint each, the same curve after a kill.

Each epoch draws its order and its dropout from the seed and the epoch's number alone, so that a run that
goes on from a checkpoint draws what an unbroken one would have drawn.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelyard.errors import InvalidInput
from modelyard.training import optimizers
from modelyard.training.checkpoints import Checkpoint, Checkpoints
from modelyard.training.early_stop import StopState
from modelyard.training.job import History, Job, Split
from modelyard.training.recipe import GradientTraining
from modelyard.training.schedules import PlateauState, factor

_STEPS: Final = 3000  # what `epochs: null` aims at
_CHECKED: Final = 16  # batches between two looks at whether the run was cancelled
_EVALUATED: Final = 1024  # rows of an evaluation's batch


class LoopState(msgspec.Struct, kw_only=True):
    """Everything between two epochs that is not a tensor."""

    epoch: int = 0
    history: History = {}
    stop: StopState = msgspec.field(default_factory=StopState)
    plateau: PlateauState = msgspec.field(default_factory=PlateauState)


@dataclass(kw_only=True)
class Loop:
    """One training. `run` leaves the weights in `module`; `state` says what happened.

    best  the best epoch's weights, where early stopping was asked for
    """

    job: Job
    module: nn.Module
    optimizer: torch.optim.Optimizer
    checkpoints: Checkpoints
    state: LoopState = field(default_factory=LoopState)
    best: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.given: GradientTraining = self.job.training
        rows = len(self.job.train)
        self.steps_per_epoch = math.ceil(rows / self.given.batch_size)
        self.epochs = self.given.epochs or min(60, max(7, round(_STEPS / self.steps_per_epoch)))
        self.x, self.y = _tensors(self.job.train, self.job)

    def run(self) -> None:
        """Train until the epochs are over or a rule says to stop. Raises Cancelled, and InvalidInput on a
        loss that is not finite."""
        self.resume()
        while self.state.epoch < self.epochs and not self._is_over():
            self._epoch(self.state.epoch + 1)
            self.checkpoints.write(self._checkpoint())
        if self.best:
            self.module.load_state_dict(self.best)

    def resume(self) -> None:
        """Go on from the newest good checkpoint, if there is one."""
        found = self.checkpoints.newest(self.job.digest)
        if found is None:
            return
        tensors = {name: torch.from_numpy(value.copy()) for name, value in found.tensors.items()}
        self.module.load_state_dict(_below("model.", tensors))
        optimizers.restore(self.optimizer, _below("optimizer.", tensors))
        self.best = _below("best.", tensors)
        self.state = msgspec.convert(found.scalars, LoopState)

    def _epoch(self, epoch: int) -> None:
        train_loss = self._train(epoch)
        values = {"train/loss": train_loss, "learning_rate": self.optimizer.param_groups[0]["lr"]}
        watched = train_loss
        if self.job.validation is not None:
            watched, main = evaluate(self.module, self.job.validation, self.job)
            values |= {"validation/loss": watched, f"validation/{self.job.task.main_metric}": main}
        _demand_finite(watched, self.given, epoch)
        for name, value in values.items():
            self.state.history.setdefault(name, []).append([epoch, value])
        self.state.plateau.observe(self.given.schedule, watched)
        stopping = self.given.early_stopping
        if stopping and self.state.stop.observe(epoch, watched, stopping.min_delta):
            self.best = {name: value.clone() for name, value in self.module.state_dict().items()}
        self.state.epoch = epoch
        self.job.reporter.metrics(epoch, values)
        self._progress(epoch, epoch)

    def _train(self, epoch: int) -> float:
        """One pass over the training rows; the mean loss of its batches."""
        order = _order(len(self.y), self.given.seed, epoch)
        self.module.train()
        total = torch.zeros(())
        for number, start in enumerate(range(0, len(order), self.given.batch_size)):
            if number % _CHECKED == 0:
                self.job.reporter.check()
                self._progress(epoch - 1 + number / self.steps_per_epoch, epoch)
            rows = order[start : start + self.given.batch_size]
            self._set_rate(epoch, number)
            loss = loss_of(self.module(self.x[rows]), self.y[rows])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.given.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.given.clip_norm)
            self.optimizer.step()
            total += loss.detach() * len(rows)
        mean = float(total) / len(order)
        _demand_finite(mean, self.given, epoch)
        return mean

    def _progress(self, done: float, epoch: int) -> None:
        said = [f"epoch {epoch} of {self.epochs}"]
        said += [f"{name} {points[-1][1]:.4g}" for name, points in self.state.history.items() if "/" in name]
        self.job.reporter.progress(done, self.epochs, ", ".join(said))

    def _set_rate(self, epoch: int, number: int) -> None:
        step = (epoch - 1) * self.steps_per_epoch + number
        steps = self.epochs * self.steps_per_epoch
        rate = self.given.learning_rate * factor(
            self.given.schedule, epoch=epoch, step=step, steps=steps, state=self.state.plateau
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _is_over(self) -> bool:
        """Whether early stopping or the loss threshold ends the training after the epochs so far."""
        stopping, threshold = self.given.early_stopping, self.given.stop_at_loss
        if stopping and self.state.stop.waited >= stopping.patience:
            return True
        losses = self.state.history.get("train/loss", [])
        return threshold is not None and bool(losses) and losses[-1][1] <= threshold

    def _checkpoint(self) -> Checkpoint:
        tensors: dict[str, Any] = {f"model.{n}": v for n, v in self.module.state_dict().items()}
        tensors |= {f"optimizer.{n}": v for n, v in optimizers.tensors_of(self.optimizer).items()}
        tensors |= {f"best.{n}": v for n, v in self.best.items()}
        return Checkpoint(
            epoch=self.state.epoch,
            recipe=self.job.digest,
            tensors={name: value.detach().contiguous().numpy() for name, value in tensors.items()},
            scalars=msgspec.to_builtins(self.state),
        )


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in nats of logits [rows, classes], or mean squared error [rows] in deviations."""
    if targets.dtype == torch.int64:
        return functional.cross_entropy(outputs, targets)
    return functional.mse_loss(outputs, targets)


@torch.inference_mode()
def evaluate(module: nn.Module, split: Split, job: Job) -> tuple[float, float]:
    """Loss, and the task's main metric in the target's unit."""
    module.eval()
    x, y = _tensors(split, job)
    outputs = torch.cat([module(x[start : start + _EVALUATED]) for start in range(0, len(y), _EVALUATED)])
    loss = float(loss_of(outputs, y))
    return loss, job.task.main(answers(outputs, job), split.y)


def answers(outputs: Tensor, job: Job) -> dict[str, Any]:
    """A module's outputs as the engine would answer them."""
    if job.shape.classes is not None:
        return {"probabilities": outputs.softmax(dim=1).numpy()}
    mean, std = job.target_scale
    return {"prediction": (outputs * std + mean).numpy()}


def _tensors(split: Split, job: Job) -> tuple[Tensor, Tensor]:
    """Classes stay; numbers are scaled to mean 0 and deviation 1."""
    x = torch.from_numpy(split.x)
    if job.shape.classes is not None:
        return x, torch.from_numpy(split.y)
    mean, std = job.target_scale
    return x, torch.from_numpy(((split.y - mean) / std).astype(np.float32))


def _order(rows: int, seed: int, epoch: int) -> Tensor:
    """The epoch's order of rows; seeds torch (dropout) as well."""
    random = np.random.default_rng([seed, epoch])
    torch.manual_seed(int(random.integers(2**63)))
    return torch.from_numpy(random.permutation(rows))


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


def _demand_finite(loss: float, given: GradientTraining, epoch: int) -> None:
    if not math.isfinite(loss):
        raise InvalidInput(
            f"the loss is {loss} in epoch {epoch}: training diverged",
            came=f"learning_rate {given.learning_rate}, clip_norm {given.clip_norm}",
            allowed=f"try learning_rate {given.learning_rate / 10:g}, or clip_norm: 1",
        )
