"""Answers by the training rows nearby. Imported by `build` functions only: torch is needed."""

from collections.abc import Mapping
from typing import Any

from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch


class Neighbors(nn.Module):
    """Keeps `x` float32 [kept, features] and `y` float32 [kept, values]: 0 and 1 of classes, or numbers.

    Rows that are equally far are taken all together, so that no answer hangs on their order: engines sort
    ties each in its own way.
    """

    x: Tensor
    y: Tensor

    def __init__(self, neighbors: int, uniform: bool, rows: int, shape: Shape) -> None:
        super().__init__()
        self.count, self.uniform, self.rows, self.shape = neighbors, uniform, rows, shape
        self.register_buffer("x", torch.zeros(1, shape.width))
        self.register_buffer("y", torch.zeros(1, shape.values))

    def solve(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
        (x,) = inputs.values()
        y = targets["target"]
        if len(x) > self.rows:
            kept = torch.linspace(0, len(x) - 1, self.rows).round().long()
            x, y = x[kept], y[kept]
        self.x = x.clone()
        self.y = one_hot(y, self.shape.values) if self.shape.classes else y.reshape(len(y), -1).float()

    def forward(self, features: Tensor) -> Tensor:
        weights = self.weights(squared_distances(features.double(), self.x.double()))
        return (weights @ self.y.double() / weights.sum(dim=1, keepdim=True)).float()

    def weights(self, squares: Tensor) -> Tensor:
        """Of squared distances [rows, kept] (Hastie, Tibshirani and Friedman 2009, equations 6.3 to 6.6)."""
        count = min(self.count + (not self.uniform), squares.shape[1])
        width = squares.topk(count, dim=1, largest=False).values[:, -1:] * (1 + 1e-9) + 1e-7
        if self.uniform:
            return (squares <= width).double()
        return (1 - squares / width).clamp(min=0)

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        found = self(features)
        return {self.shape.output.name: found if len(self.shape.output.shape) == 2 else found[:, 0]}

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        """How many rows are kept is known by the weights alone."""
        self.x = torch.empty_like(state[f"{prefix}x"])
        self.y = torch.empty_like(state[f"{prefix}y"])
        super()._load_from_state_dict(state, prefix, *rest)


def one_hot(numbers: Tensor, count: int) -> Tensor:
    return nn.functional.one_hot(numbers, count).float()


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """[rows, kept] of float64 rows, by one product."""
    squares = (a * a).sum(dim=1, keepdim=True) + (b * b).sum(dim=1)[None] - 2 * a @ b.T
    return squares.clamp(min=0)
