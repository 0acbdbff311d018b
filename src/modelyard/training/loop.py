"""The PyTorch training loop: epochs over data in memory, a checkpoint each, the same curve after a kill.

Each epoch draws its order and its dropout from the seed and the epoch's number alone, so that a run that
goes on from a checkpoint draws what an unbroken one would have drawn.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Examples
from modelyard.training import optimizers
from modelyard.training.checkpoints import Checkpoint, Checkpoints
from modelyard.training.early_stop import StopState
from modelyard.training.job import History, Job
from modelyard.training.objective import Objective
from modelyard.training.recipe import GradientTraining
from modelyard.training.schedules import PlateauState, factor

_STEPS: Final = 3000  # what `epochs: null` aims at
_CHECKED: Final = 16  # batches between two looks at whether the run was cancelled
_SORTED: Final = 50  # batches of rows of several lengths that are sorted among each other


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
    checkpoints: Checkpoints
    state: LoopState = field(default_factory=LoopState)
    best: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.given: GradientTraining = self.job.training
        self.objective = Objective(self.module, self.job)
        self.optimizers = {
            player: optimizers.create(parameters, self.given)
            for player, parameters in self.objective.players.items()
        }
        rows = len(self.job.train)
        self.steps_per_epoch = math.ceil(rows / self.given.batch_size)
        self.epochs = self.given.epochs or min(60, max(7, round(_STEPS / self.steps_per_epoch)))

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
        for player, optimizer in self.optimizers.items():
            optimizers.restore(optimizer, _below(_prefix(player), tensors))
        self.best = _below("best.", tensors)
        self.state = msgspec.convert(found.scalars, LoopState)

    def _epoch(self, epoch: int) -> None:
        values = {f"train/{name}": value for name, value in self._train(epoch).items()}
        watched = values["train/loss"]
        values["learning_rate"] = self._rate
        if self.job.validation is not None:
            found = self._evaluated(self.job.validation)
            values |= {f"validation/{name}": value for name, value in found.items()}
            watched = found["loss"]
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

    def _train(self, epoch: int) -> dict[str, float]:
        """One pass over the training rows; the mean losses of its batches."""
        order = _order(self.job.train, self.given.batch_size, self.given.seed, epoch)
        self.module.train()
        totals: dict[str, Tensor] = {}
        for number, rows in enumerate(order):
            if number % _CHECKED == 0:
                self.job.reporter.check()
                self._progress(epoch - 1 + number / self.steps_per_epoch, epoch)
            self._set_rate(epoch, number)
            for name, value in self._step(self.job.train.take(rows)).items():
                totals[name] = totals.get(name, torch.zeros(())) + value.detach() * len(rows)
        means = {name: float(total) / len(self.job.train) for name, total in totals.items()}
        _demand_finite(means["loss"], self.given, epoch)
        return means

    def _step(self, batch: Examples) -> dict[str, Tensor]:
        """Each player's turn on one batch. Several players' losses are named by them, and "loss" is their sum."""
        found: dict[str, Tensor] = {}
        for player, optimizer in self.optimizers.items():
            losses = self.objective.losses(batch, player)
            self.module.zero_grad(set_to_none=True)  # of the other players too
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            if self.given.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.objective.players[player], self.given.clip_norm)
            optimizer.step()
            found |= {f"{player}/{name}" if player else name: value for name, value in losses.items()}
        return _with_sum(found, self.objective.players)

    def _evaluated(self, examples: Examples) -> dict[str, float]:
        """Losses, and the task's main metric in the target's unit where it is one of class or number."""
        found = _with_sum(self.objective.evaluate(examples), self.objective.players)
        task = self.job.task
        if task.target_kind in ("class", "number"):
            found[task.main_metric] = task.main(
                self.objective.outputs(examples), np.asarray(examples.targets["target"])
            )
        return found

    def _progress(self, done: float, epoch: int) -> None:
        said = [f"epoch {epoch} of {self.epochs}"]
        said += [f"{name} {points[-1][1]:.4g}" for name, points in self.state.history.items() if "/" in name]
        self.job.reporter.progress(done, self.epochs, ", ".join(said))

    @property
    def _rate(self) -> float:
        rate: float = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        return rate

    def _set_rate(self, epoch: int, number: int) -> None:
        step = (epoch - 1) * self.steps_per_epoch + number
        steps = self.epochs * self.steps_per_epoch
        rate = self.given.learning_rate * factor(
            self.given.schedule, epoch=epoch, step=step, steps=steps, state=self.state.plateau
        )
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
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
        for player, optimizer in self.optimizers.items():
            tensors |= {f"{_prefix(player)}{n}": v for n, v in optimizers.tensors_of(optimizer).items()}
        tensors |= {f"best.{n}": v for n, v in self.best.items()}
        return Checkpoint(
            epoch=self.state.epoch,
            recipe=self.job.digest,
            tensors={name: value.detach().contiguous().numpy() for name, value in tensors.items()},
            scalars=msgspec.to_builtins(self.state),
        )


def _order(examples: Examples, batch_size: int, seed: int, epoch: int) -> list[npt.NDArray[np.int64]]:
    """The epoch's batches of row numbers; seeds torch (dropout) as well. Rows of several lengths are sorted within
    stretches of some batches, so that little of a batch is padding, and the batches are mixed again."""
    random = np.random.default_rng([seed, epoch])
    torch.manual_seed(int(random.integers(2**63)))
    order = random.permutation(len(examples))
    lengths = examples.lengths
    if lengths is None:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    stretch = batch_size * _SORTED
    near = np.concatenate(
        [
            part[np.argsort(lengths[part], kind="stable")]
            for part in (order[start : start + stretch] for start in range(0, len(order), stretch))
        ]
    )
    found = [near[start : start + batch_size] for start in range(0, len(near), batch_size)]
    return [found[k] for k in random.permutation(len(found))]


def _with_sum(losses: dict[str, Any], players: Mapping[str, Any]) -> dict[str, Any]:
    if len(players) == 1 and "" in players:
        return losses
    return {"loss": sum(losses[f"{player}/loss"] for player in players), **losses}


def _prefix(player: str) -> str:
    return f"optimizer.{player}." if player else "optimizer."


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


def _demand_finite(loss: float, given: GradientTraining, epoch: int) -> None:
    if not math.isfinite(loss):
        raise InvalidInput(
            f"the loss is {loss} in epoch {epoch}: training diverged",
            came=f"learning_rate {given.learning_rate}, clip_norm {given.clip_norm}",
            allowed=f"try learning_rate {given.learning_rate / 10:g}, or clip_norm: 1",
        )
