"""The exponential moving average of a module's weights, which is what is measured, kept and exported.

Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; with the ramp of the decay that
TensorFlow's ExponentialMovingAverage has, so that the first weights, which are random, are soon forgotten.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """`values` has the average of each floating tensor of the module's state, and a copy of each other one."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: value.detach() for name, value in module.state_dict().items()}
        self.values = {name: value.clone() for name, value in self._live.items()}
        self._floats = [name for name, value in self._live.items() if value.is_floating_point()]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the weights after a step; `steps` were taken in before."""
        decay = min(self._decay, (1 + steps) / (10 + steps))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average([self.values[n] for n in self._floats], [self._live[n] for n in self._floats], steps)
        for name in self.values.keys() - set(self._floats):
            self.values[name].copy_(self._live[name])

    @torch.no_grad()
    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Take over what a checkpoint holds."""
        for name, value in values.items():
            self.values[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has the averages meanwhile."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, live in self._live.items():
            held = live.clone()
            live.copy_(self.values[name])
            self.values[name].copy_(held)
