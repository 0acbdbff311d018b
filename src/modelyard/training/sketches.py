"""What a net answers to a few rows after more and more epochs: how it came to what it does."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Examples
from modelyard.training.objective import Objective

_ROWS: Final = 12


class Sketches:
    """Drawn after epochs 1, 2, 4, 8 and so on, for tasks that show them. `kept` maps "epoch.name" to a tensor, so
    that a checkpoint can hold it."""

    def __init__(self, objective: Objective) -> None:
        job = objective.job
        self._objective = objective
        self._wanted = getattr(type(job.task), "sketched", BaseTask.sketched) is not BaseTask.sketched
        self.rows: Examples = (job.validation if job.validation is not None else job.train).part(_ROWS)
        self.kept: dict[str, Tensor] = {}

    def after(self, epoch: int) -> None:
        """Draw, if it is such an epoch."""
        if epoch & (epoch - 1) == 0:
            self.draw(epoch)

    @torch.inference_mode()
    def draw(self, epoch: int) -> None:
        if not self._wanted:
            return
        found = {name: torch.from_numpy(array) for name, array in self._objective.outputs(self.rows).items()}
        own = getattr(self._objective.module, "sketch", None)
        if own is not None:
            given = self._objective.tensors
            found |= own(given(self.rows.inputs), given(self.rows.targets))
        self.kept |= {f"{epoch}.{name}": value.clone() for name, value in found.items()}

    def by_epoch(self) -> dict[int, dict[str, Array]]:
        """Epoch -> name -> array."""
        found: dict[int, dict[str, Array]] = {}
        for key, value in self.kept.items():
            epoch, _, name = key.partition(".")
            found.setdefault(int(epoch), {})[name] = np.asarray(value.cpu())
        return found
