"""Learning rate schedules: what the rate is multiplied by at a point of training.

Each has a `warmup`: the share of all steps over which the rate rises linearly to what the schedule says (Goyal et
al. 2017, Accurate, Large Minibatch SGD, section 2.2).
"""

import math
from typing import Annotated

import msgspec

Factor = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Warmup = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Constant(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="constant"):
    """The rate stays."""

    warmup: Warmup = 0.0


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="step"):
    """Times `factor` after `every` epochs."""

    every: Annotated[int, msgspec.Meta(ge=1)] = 10
    factor: Factor = 0.1
    warmup: Warmup = 0.0


class Cosine(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="cosine"):
    """Half a cosine down to `final` (a share of the rate) over the steps after the warm-up. Loshchilov and Hutter
    2017, SGDR, equation 5, without restarts."""

    final: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    warmup: Warmup = 0.0


class Plateau(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="plateau"):
    """Times `factor` when the loss that is watched has not fallen by `min_delta` in `patience` epochs."""

    factor: Factor = 0.5
    patience: Annotated[int, msgspec.Meta(ge=1)] = 3
    min_delta: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    warmup: Warmup = 0.0


Schedule = Constant | Step | Cosine | Plateau


class PlateauState(msgspec.Struct, kw_only=True):
    """What a schedule remembers between epochs; only a plateau does."""

    factor: float = 1.0
    best: float | None = None
    waited: int = 0

    def observe(self, schedule: Schedule, loss: float) -> None:
        """Tell the loss of an epoch that has ended."""
        if not isinstance(schedule, Plateau):
            return
        if self.best is None or loss < self.best - schedule.min_delta:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= schedule.patience:
            self.factor, self.waited = self.factor * schedule.factor, 0


def factor(schedule: Schedule, *, epoch: int, step: int, steps: int, state: PlateauState) -> float:
    """What the rate is multiplied by at `step` (from 0, over all epochs) of `steps`, in `epoch` (from 1)."""
    rise = round(schedule.warmup * steps)
    risen = min(1.0, (step + 1) / rise) if rise else 1.0
    match schedule:
        case Step(every=every, factor=by):
            return risen * float(by ** ((epoch - 1) // every))
        case Cosine(final=final):
            return risen * _cosine(max(0, step - rise), max(1, steps - rise), final)
        case Plateau():
            return risen * state.factor
        case Constant():
            return risen


def _cosine(step: int, steps: int, final: float) -> float:
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * step / steps))
