"""Gradual magnitude pruning while training (Zhu and Gupta 2017, To prune, or not to prune, section 3)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.types.report import Exhibit

if TYPE_CHECKING:
    from torch import Tensor, nn

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_ROWS: Final = 60  # of the report's table


class Pruning(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest weights of every matrix and kernel become 0 and stay it, more of them as training goes on.

    sparsity  the share of each tensor's weights that are 0 in the end
    start     when it begins, and
    end       when it is reached, as shares of all steps; what is left of the training heals the net
    every     steps between two looks at which weights are the smallest
    """

    sparsity: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    start: Share = 0.1
    end: Share = 0.7
    every: Annotated[int, msgspec.Meta(ge=1)] = 20

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError("`start` must be before `end`")

    def last(self, steps: int) -> int:
        """The step (from 0) that prunes last."""
        return max(0, math.ceil(self.end * steps) - 1)

    def at(self, step: int, steps: int) -> float:
        """The sparsity to reach after `step` (from 0) of `steps`: equation 1, from an initial sparsity of 0."""
        first, last = self.start * steps, self.last(steps)
        if step >= last:
            return self.sparsity
        along = max(0.0, (step + 1 - first) / max(1.0, last + 1 - first))
        return float(self.sparsity * (1 - (1 - along) ** 3))

    def is_due(self, step: int, steps: int) -> bool:
        """Whether the smallest weights are looked for after this step."""
        last = self.last(steps)
        return step == last or (self.start * steps <= step < last and step % self.every == 0)


class Masks:
    """Which weights stay. `kept` has a mask (bool, of its shape) for each tensor that was pruned, by its name."""

    def __init__(self, module: "nn.Module", given: Pruning) -> None:
        self._given = given
        self._weights = {name: p for name, p in module.named_parameters() if _can_be_pruned(name, p)}
        self.kept: dict[str, Tensor] = {}

    def step(self, step: int, steps: int) -> None:
        """After an optimizer's step: prune more where it is time, and hold at 0 what was pruned."""
        if self._given.is_due(step, steps):
            share = self._given.at(step, steps)
            self.kept = {name: _largest(p.detach(), share) for name, p in self._weights.items()}
        self.hold({name: self._weights[name].detach() for name in self.kept})

    def hold(self, values: "Mapping[str, Tensor]") -> None:
        """Set to 0, in place, what was pruned, in tensors of the weights' names."""
        for name, mask in self.kept.items():
            values[name].mul_(mask)

    @property
    def sparsity(self) -> float:
        """The share of zeros among all weights that can be pruned."""
        zeros = sum(int((p == 0).sum()) for p in self._weights.values())
        return zeros / max(1, sum(p.numel() for p in self._weights.values()))


def exhibit(module: "nn.Module") -> Exhibit:
    """The share of zeros by tensor, for the report's page."""
    weights = {name: p for name, p in module.named_parameters() if _can_be_pruned(name, p)}
    zeros = {name: int((p == 0).sum()) for name, p in weights.items()}
    values = sum(p.numel() for p in weights.values())
    whole = sum(p.numel() for p in module.parameters())
    rows = [
        (name, " x ".join(map(str, p.shape)), f"{zeros[name]:,}", f"{zeros[name] / p.numel():.1%}")
        for name, p in weights.items()
    ]
    note = f"{sum(zeros.values()):,} of {values:,} weights are 0 ({sum(zeros.values()) / max(1, values):.1%})"
    more = f"; the {len(rows) - _ROWS} tensors after these are not shown" if len(rows) > _ROWS else ""
    return Exhibit(
        title="Pruned weights",
        note=f"{note}; the net has {whole:,} parameters in all{more}.",
        header=("tensor", "shape", "zeros", "share"),
        rows=tuple(rows[:_ROWS]),
    )


def _can_be_pruned(name: str, parameter: "Tensor") -> bool:
    """Matrices and kernels that are trained; not biases, scales of normalisations and embeddings of positions."""
    return parameter.requires_grad and parameter.ndim >= 2 and "weight" in name.rpartition(".")[2]


def _largest(weight: "Tensor", share: float) -> "Tensor":
    """True for all but this share of the values, the smallest by magnitude."""
    magnitude = weight.abs()
    count = round(share * weight.numel())
    if not count:
        return magnitude >= 0
    return magnitude > magnitude.flatten().sort().values[count - 1]
