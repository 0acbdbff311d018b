"""The loop of a fine-tuning: steps, looks at held-out rows, checkpoints, and the same curve after a kill.

Each epoch draws its order, and each step its dropout, from the seed and their numbers alone. A step's loss is the
mean over all its counted tokens, however they lie in its batches.
"""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from modelyard.errors import InvalidInput
from modelyard.training import optimizers, time_left
from modelyard.training.checkpoints import Checkpoint, Checkpoints
from modelyard.training.early_stop import StopState
from modelyard.training.finetune_examples import Example
from modelyard.training.finetune_model import trained_parameters
from modelyard.training.finetune_recipe import FinetuneTraining
from modelyard.training.job import History
from modelyard.training.packing import lay_out
from modelyard.training.perplexity import surprise, token_losses
from modelyard.training.schedules import PlateauState, factor
from modelyard.types.run import Reporter

_POINTS: Final = 500  # of a curve at most
_CHECKPOINTS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learnt from and how.

    rows      sequences, each of the documents that share it
    held_out  documents that are looked at during training
    digest    of all that decides the weights: what a checkpoint belongs to
    """

    rows: Sequence[Sequence[Example]]
    held_out: Sequence[Example]
    training: FinetuneTraining
    pad: int
    digest: str
    checkpoints: Path
    attempt: int
    reporter: Reporter


class TuneState(msgspec.Struct, kw_only=True):
    """Everything between two steps that is not a tensor. `recent` are losses that no point of the curve has yet;
    `looks` counts the looks at the held-out rows."""

    step: int = 0
    tokens: int = 0
    looks: int = 0
    recent: list[float] = []
    history: History = {}
    stop: StopState = msgspec.field(default_factory=StopState)


@dataclass(kw_only=True)
class TuneLoop:
    """One fine-tuning. `run` leaves the weights in `model`; `state` says what happened."""

    lesson: Lesson
    model: Any
    state: TuneState = field(default_factory=TuneState)
    best: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.lesson.training
        self.trained = trained_parameters(self.model)
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=given.rate, weight_decay=given.weight_decay
        )
        self.checkpoints = Checkpoints(self.lesson.checkpoints, self.lesson.attempt)
        self.rows_per_step = given.batch_size * given.accumulation
        self.steps_per_epoch = math.ceil(len(self.lesson.rows) / self.rows_per_step)
        self.steps = min(given.epochs * self.steps_per_epoch, given.steps or sys.maxsize)
        self._point_every = max(1, self.steps // _POINTS)
        self._look_every = given.evaluate_every or self.steps_per_epoch
        self._write_every = given.checkpoint_every or max(1, self.steps // _CHECKPOINTS)

    def run(self) -> None:
        """Train until the steps are over or early stopping ends it.

        Raises Cancelled, and InvalidInput on a loss that is not finite.
        """
        self._resume()
        began, first = time.monotonic(), self.state.step
        if self.state.step == 0 and self.state.looks == 0:
            self._look()
        while self.state.step < self.steps and not self._is_over():
            self._step(self.state.step + 1)
            step = self.state.step
            if step % self._look_every == 0 or step == self.steps:
                self._look()
            if step % self._write_every == 0 or step == self.steps or self._is_over():
                self.checkpoints.write(self._checkpoint())
            self._progress((time.monotonic() - began) / (step - first))
        if self.best:
            self._load(self.best)

    def _step(self, step: int) -> None:
        """One step of the optimizer over `rows_per_step` sequences."""
        self.lesson.reporter.check()
        batches = self._batches(step)
        rate = self._rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        counted = sum(batch.counted for batch in batches)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for batch in batches:
            loss = token_losses(self.model, batch, self.lesson.training.packing).sum() / counted
            loss.backward()
            total += float(loss.detach())
            self.lesson.reporter.check()
        _demand_finite(total, self.lesson.training, step)
        limit = self.lesson.training.clip_norm
        norm = float(nn.utils.clip_grad_norm_(self.trained.values(), math.inf if limit is None else limit))
        self.optimizer.step()
        self.state.step = step
        self.state.tokens += sum(batch.read for batch in batches)
        self.state.recent.append(total)
        if step % self._point_every == 0 or step == self.steps:
            mean = math.fsum(self.state.recent) / len(self.state.recent)
            self._tell({"train/loss": mean, "learning_rate": rate, "gradient_norm": norm})
            self.state.recent = []

    def _batches(self, step: int) -> list[Any]:
        """The step's sequences in their epoch's order; seeds torch (dropout) as well."""
        epoch, within = divmod(step - 1, self.steps_per_epoch)
        order = np.random.default_rng([self.lesson.training.seed, epoch]).permutation(len(self.lesson.rows))
        torch.manual_seed(
            int(np.random.default_rng([self.lesson.training.seed, epoch, step]).integers(2**63))
        )
        mine = order[within * self.rows_per_step : (within + 1) * self.rows_per_step]
        size = self.lesson.training.batch_size
        return [
            lay_out([self.lesson.rows[n] for n in mine[at : at + size]], self.lesson.pad)
            for at in range(0, len(mine), size)
        ]

    def _rate(self, step: int) -> float:
        given = self.lesson.training
        epoch = (step - 1) // self.steps_per_epoch + 1
        return given.rate * factor(
            given.schedule, epoch=epoch, step=step - 1, steps=self.steps, state=PlateauState()
        )

    def _look(self) -> None:
        """Perplexity of the held-out rows, now."""
        given = self.lesson.training
        found = surprise(
            self.model,
            self.lesson.held_out,
            given.batch_size * given.sequence_length,
            self.lesson.pad,
            self.lesson.reporter.check,
        )
        self.state.looks += 1
        self._tell({"validation/loss": found.mean, "validation/perplexity": math.exp(min(found.mean, 700))})
        stopping = given.early_stopping
        if stopping and self.state.stop.observe(self.state.looks, found.mean, stopping.min_delta):
            self.best = {name: value.detach().clone() for name, value in self.trained.items()}

    def _is_over(self) -> bool:
        stopping = self.lesson.training.early_stopping
        return stopping is not None and self.state.stop.waited >= stopping.patience

    def _tell(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.state.history.setdefault(name, []).append([self.state.step, value])
        self.lesson.reporter.metrics(self.state.step, values)

    def _progress(self, seconds: float) -> None:
        left = seconds * (self.steps - self.state.step)
        said = [f"step {self.state.step} of {self.steps}"]
        said += [
            f"{n} {p[-1][1]:.4g}" for n, p in self.state.history.items() if n.endswith(("loss", "plexity"))
        ]
        if text := time_left.said(left):
            said.append(text)
        self.lesson.reporter.progress(self.state.step, self.steps, ", ".join(said))

    def _checkpoint(self) -> Checkpoint:
        tensors = {f"model.{name}": value.detach() for name, value in self.trained.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"optimizer.{n}": v for n, v in optimizers.tensors_of(self.optimizer).items()}
        return Checkpoint(
            epoch=self.state.step,
            recipe=self.lesson.digest,
            tensors={name: value.cpu().contiguous().numpy() for name, value in tensors.items()},
            scalars=msgspec.to_builtins(self.state),
        )

    def _resume(self) -> None:
        """Go on from the newest good checkpoint, if there is one."""
        found = self.checkpoints.newest(self.lesson.digest)
        if found is None:
            return
        tensors = {name: torch.from_numpy(value.copy()) for name, value in found.tensors.items()}
        self._load(_below("model.", tensors))
        optimizers.restore(self.optimizer, _below("optimizer.", tensors))
        self.best = _below("best.", tensors)
        self.state = msgspec.convert(found.scalars, TuneState)

    def _load(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(weights[name])


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


def _demand_finite(loss: float, given: FinetuneTraining, step: int) -> None:
    if not math.isfinite(loss):
        raise InvalidInput(
            f"the loss is {loss} in step {step}: training diverged",
            came=f"learning_rate {given.rate:g}, clip_norm {given.clip_norm}",
            allowed=f"try learning_rate {given.rate / 10:g}",
        )
