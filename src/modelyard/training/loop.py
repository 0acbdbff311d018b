"""The PyTorch training loop: epochs over data in memory, a checkpoint each, the same curve after a kill.

Each epoch draws its order and its dropout from the seed and the epoch's number alone, and augmentation from the
batch's besides, so that a run that goes on from a checkpoint draws what an unbroken one would have drawn.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Examples
from modelyard.training import augment, devices, optimizers
from modelyard.training.averaging import Average
from modelyard.training.checkpoints import Checkpoint, Checkpoints
from modelyard.training.early_stop import StopState
from modelyard.training.job import History, Job
from modelyard.training.objective import Objective
from modelyard.training.pruning import Masks
from modelyard.training.recipe import GradientTraining
from modelyard.training.schedules import PlateauState, factor
from modelyard.training.sketches import Sketches
from modelyard.training.time_left import TimeLeft

_STEPS: Final = 3000  # what `epochs: null` aims at
_CHECKED: Final = 16  # batches between two looks at whether the run was cancelled
_JUDGED: Final = 2000  # rows that are looked at after an epoch
_FIXED: Final = ("judge_", "real_")  # figures of the judge and of real images, which no epoch changes
_SORTED: Final = 50  # batches of rows of several lengths that are sorted among each other


class LoopState(msgspec.Struct, kw_only=True):
    """Everything between two epochs that is not a tensor."""

    epoch: int = 0
    history: History = {}
    stop: StopState = msgspec.field(default_factory=StopState)
    plateau: PlateauState = msgspec.field(default_factory=PlateauState)


@dataclass(kw_only=True)
class Loop:
    """One training. `run` leaves the weights in `module`, on the CPU; `state` says what happened.

    best     the best epoch's weights, where early stopping was asked for
    average  of the weights, where it was asked for: what is measured, and kept in the end
    masks    of what was pruned, likewise
    """

    job: Job
    module: nn.Module
    checkpoints: Checkpoints
    clock: Callable[[], float] = time.monotonic
    state: LoopState = field(default_factory=LoopState)
    best: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.given: GradientTraining = self.job.training
        device = devices.chosen(self.given.device)
        self.objective = Objective(self.module.to(device), self.job, device)
        self.optimizers = {
            player: optimizers.create(parameters, self.given)
            for player, parameters in self.objective.players.items()
        }
        self.augmenter = augment.load(self.job)
        self.average = Average(self.module, self.given.ema) if self.given.ema is not None else None
        self.masks = Masks(self.module, self.given.pruning) if self.given.pruning is not None else None
        together = self.given.batch_size * self.given.accumulation
        self.steps_per_epoch = math.ceil(len(self.job.train) / together)
        self.epochs = self.given.epochs or min(60, max(7, round(_STEPS / self.steps_per_epoch)))
        self.steps: int = self.epochs * self.steps_per_epoch
        self.time_left = TimeLeft(0, self.clock)
        self.sketches = Sketches(self.objective)

    def run(self) -> None:
        """Train until the epochs are over or a rule says to stop. Raises Cancelled, and InvalidInput on a
        loss that is not finite."""
        self.resume()
        self.time_left = TimeLeft(self.state.epoch, self.clock)
        while self.state.epoch < self.epochs and not self._is_over():
            self._epoch(self.state.epoch + 1)
            self.checkpoints.write(self._checkpoint())
        if self.best:
            self.module.load_state_dict(self.best)
        elif self.average is not None:
            self.module.load_state_dict(self.average.values)
        self.module.cpu()
        self.objective.device = torch.device("cpu")

    def resume(self) -> None:
        """Go on from the newest good checkpoint, if there is one."""
        found = self.checkpoints.newest(self.job.digest)
        if found is None:
            return
        device = self.objective.device
        tensors = {name: torch.from_numpy(value.copy()).to(device) for name, value in found.tensors.items()}
        self.module.load_state_dict(_below("model.", tensors))
        for player, optimizer in self.optimizers.items():
            optimizers.restore(optimizer, _below(_prefix(player), tensors))
        if self.average is not None:
            self.average.restore(_below("average.", tensors))
        if self.masks is not None:
            self.masks.kept = _below("mask.", tensors)
        self.sketches.kept = _below("sketch.", tensors)
        self.best = _below("best.", tensors)
        self.state = msgspec.convert(found.scalars, LoopState)

    def _epoch(self, epoch: int) -> None:
        values = {f"train/{name}": value for name, value in self._train(epoch).items()}
        watched = values["train/loss"]
        values["learning_rate"] = self._rate
        with self.average.in_place() if self.average is not None else nullcontext():
            if self.job.validation is not None:
                found = self._evaluated(self.job.validation)
                values |= {f"validation/{name}": value for name, value in found.items()}
                watched = self._watched(found)
            if self.masks is not None:
                values["sparsity"] = self.masks.sparsity
            _demand_finite(watched, self.given, epoch)
            self._keep_the_best(epoch, watched)
            self.sketches.after(epoch)
        for name, value in values.items():
            self.state.history.setdefault(name, []).append([epoch, value])
        self.state.plateau.observe(self.given.schedule, watched)
        self.state.epoch = epoch
        self.job.reporter.metrics(epoch, values)
        self._progress(epoch, epoch)

    def _keep_the_best(self, epoch: int, watched: float) -> None:
        """Of a net that is pruned, among the epochs that have its sparsity."""
        stopping = self.given.early_stopping
        if stopping is None or not self._is_as_sparse_as_asked(epoch):
            return
        if self.state.stop.observe(epoch, watched, stopping.min_delta):
            self.best = {name: value.clone() for name, value in self.module.state_dict().items()}

    def _train(self, epoch: int) -> dict[str, float]:
        """One pass over the training rows; the mean losses of its batches."""
        together = self.given.accumulation
        order = _order(self.job.train, self.given.batch_size, self.given.seed, epoch)
        self.module.train()
        totals: dict[str, Tensor] = {}
        for number in range(self.steps_per_epoch):
            if number % max(1, _CHECKED // together) == 0:
                self.job.reporter.check()
                self._progress(epoch - 1 + number / self.steps_per_epoch, epoch)
            self._set_rate(epoch, number)
            first = number * together
            batches = [
                self._batch(rows, epoch, first + k) for k, rows in enumerate(order[first : first + together])
            ]
            rows = sum(map(len, batches))
            for name, value in self._step(batches, rows).items():
                totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value * rows
            self._after_step((epoch - 1) * self.steps_per_epoch + number)
        means = {name: float(total) / len(self.job.train) for name, total in totals.items()}
        _demand_finite(means["loss"], self.given, epoch)
        return means

    def _batch(self, rows: npt.NDArray[np.int64], epoch: int, number: int) -> Examples:
        batch = self.job.train.take(rows)
        if self.augmenter is None:
            return batch
        return self.augmenter(batch, augment.random_of(self.given.seed, epoch, number + 1))

    def _step(self, batches: Sequence[Examples], rows: int) -> dict[str, Tensor]:
        """Each player's turn on these batches of so many rows in all. Losses are means over all of them; several
        players' are named by them, and "loss" is their sum."""
        found: dict[str, Tensor] = {}
        for player, optimizer in self.optimizers.items():
            self.module.zero_grad(set_to_none=True)  # of the other players too
            for batch in batches:
                losses = self.objective.losses(batch, player)
                share = len(batch) / rows
                loss = losses["loss"] if share == 1 else losses["loss"] * share
                loss.backward()  # type: ignore[no-untyped-call]
                for name, value in losses.items():
                    key = f"{player}/{name}" if player else name
                    part = value.detach() * share
                    found[key] = found[key] + part if key in found else part
            if self.given.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.objective.players[player], self.given.clip_norm)
            optimizer.step()
        return _with_sum(found, self.objective.players)

    def _after_step(self, step: int) -> None:
        """What follows an optimizer's step, of all the training's steps (from 0)."""
        if self.masks is not None:
            self.masks.step(step, self.steps)
        if self.average is not None:
            self.average.update(step)
            if self.masks is not None:
                self.masks.hold(self.average.values)

    def _watched(self, found: Mapping[str, float]) -> float:
        """What early stopping makes small: the loss, or, of players, whose losses say little, the main figure."""
        task = self.job.task
        if len(self.objective.players) < 2 or task.main_metric not in found:
            return found["loss"]
        return -found[task.main_metric] if task.higher_is_better else found[task.main_metric]

    def _evaluated(self, examples: Examples) -> dict[str, float]:
        """Losses, and the task's main metric in the target's unit where it is one of class or number; of what is
        judged, all figures."""
        found = _with_sum(self.objective.evaluate(examples), self.objective.players)
        task = self.job.task
        if self.job.judge is not None:
            some = examples.part(_JUDGED)
            opinions = self.job.judged(self.objective.outputs(some), some)
            figures = task.metrics(opinions, some.targets["target"], self.job.labels).values
            return found | {n: value for n, value in figures.items() if not n.startswith(_FIXED)}
        if task.target_kind in ("class", "number"):
            found[task.main_metric] = task.main(
                self.objective.outputs(examples), np.asarray(examples.targets["target"])
            )
        return found

    def _progress(self, done: float, epoch: int) -> None:
        said = [f"epoch {epoch} of {self.epochs}"]
        said += [f"{name} {points[-1][1]:.4g}" for name, points in self.state.history.items() if "/" in name]
        if left := self.time_left.said(done, self.epochs):
            said.append(f"at most {left}" if self.given.early_stopping else left)
        self.job.reporter.progress(done, self.epochs, ", ".join(said))

    @property
    def _rate(self) -> float:
        rate: float = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        return rate

    def _set_rate(self, epoch: int, number: int) -> None:
        step = (epoch - 1) * self.steps_per_epoch + number
        rate = self.given.learning_rate * factor(
            self.given.schedule, epoch=epoch, step=step, steps=self.steps, state=self.state.plateau
        )
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _is_over(self) -> bool:
        """Whether early stopping or the loss threshold ends the training after the epochs so far."""
        if not self._is_as_sparse_as_asked(self.state.epoch):
            return False
        stopping, threshold = self.given.early_stopping, self.given.stop_at_loss
        if stopping and self.state.stop.waited >= stopping.patience:
            return True
        losses = self.state.history.get("train/loss", [])
        return threshold is not None and bool(losses) and losses[-1][1] <= threshold

    def _is_as_sparse_as_asked(self, epoch: int) -> bool:
        """After this epoch; so is a net that is not pruned."""
        pruning = self.given.pruning
        return pruning is None or epoch * self.steps_per_epoch > pruning.last(self.steps)

    def _checkpoint(self) -> Checkpoint:
        tensors: dict[str, Any] = {f"model.{n}": v for n, v in self.module.state_dict().items()}
        for player, optimizer in self.optimizers.items():
            tensors |= {f"{_prefix(player)}{n}": v for n, v in optimizers.tensors_of(optimizer).items()}
        tensors |= {f"best.{n}": v for n, v in self.best.items()}
        tensors |= {f"sketch.{n}": v for n, v in self.sketches.kept.items()}
        if self.average is not None:
            tensors |= {f"average.{n}": v for n, v in self.average.values.items()}
        if self.masks is not None:
            tensors |= {f"mask.{n}": v for n, v in self.masks.kept.items()}
        return Checkpoint(
            epoch=self.state.epoch,
            recipe=self.job.digest,
            tensors={name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items()},
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
