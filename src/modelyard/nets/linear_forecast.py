"""Linear forecast: each step is a weighted sum of the history, by ridge regression.

DLinear and NLinear (Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?) are this map
with a scaled history, found by gradient steps; least squares finds it at once and more exactly (Toner and
Darlow 2024, An Analysis of Linear Time Series Forecasting Models).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import FORECASTS, Net, Shape

if TYPE_CHECKING:
    from torch import nn

_PENALTIES: Final = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4)


class LinearForecast(msgspec.Struct, frozen=True, kw_only=True):
    """`alpha`: the penalty on squared weights, by row of training; None: the one of `_PENALTIES` with the least
    error in generalised cross-validation."""

    alpha: Annotated[float, msgspec.Meta(ge=0)] | None = None


def build(config: LinearForecast, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.windows import Forecaster, Tensor, torch

    class Linear(Forecaster):
        weight: Tensor
        bias: Tensor

        def __init__(self) -> None:
            super().__init__(shape)
            self.register_buffer("weight", torch.zeros(self.history * self.channels, self.horizon))
            self.register_buffer("bias", torch.zeros(self.horizon))

        def ahead(self, scaled: Tensor) -> Tensor:
            return scaled.flatten(1) @ self.weight + self.bias

        def solve(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
            """In float64. Steps are solved together where they are known in the same rows."""
            history = inputs["history"].to(torch.float64)
            center, spread = self.scales(history)
            x = ((history - center) / spread).flatten(1)
            y = (targets["target"] - center[:, :, 0]) / spread[:, :, 0]
            known = targets["known"]
            every = torch.arange(self.horizon)
            for steps in [every] if bool(known.all()) else every[:, None]:
                rows = known[:, steps[0]]
                weight, bias = ridge(x[rows], y[rows][:, steps], config.alpha)
                self.weight[:, steps], self.bias[steps] = weight.float(), bias.float()

    def ridge(x: Tensor, y: Tensor, alpha: float | None) -> tuple[Tensor, Tensor]:
        """Weights [features, steps] and bias [steps] of float64 rows (Hastie, Tibshirani and Friedman 2009,
        sections 3.4.1 and 7.10); the penalty by generalised cross-validation (Golub, Heath and Wahba 1979)."""
        x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
        x, y = x - x_mean, y - y_mean
        squares, v = torch.linalg.eigh(x.T @ x)
        there = squares > 1e-12 * squares.max().clamp(min=1e-300)
        squares, v = squares[there], v[:, there]
        along = v.T @ (x.T @ y)  # in the directions of v, times their singular values

        def shrunk(penalty: float) -> Tensor:
            kept: Tensor = squares / (squares + penalty * len(x))
            return kept

        def error(penalty: float) -> float:
            kept = shrunk(penalty)
            explained = ((2 * kept - kept**2) / squares) @ along.pow(2)
            return float((y.pow(2).sum() - explained.sum()) / (len(x) - 1 - kept.sum()).clamp(min=1e-6) ** 2)

        penalty = min(_PENALTIES, key=error) if alpha is None else alpha
        weight = v @ ((shrunk(penalty) / squares)[:, None] * along)
        return weight, y_mean - x_mean @ weight

    return Linear()


NET: Final = Net(
    name="linear_forecast",
    framework="closed-form",
    tasks=(FORECASTS,),
    config=LinearForecast,
    build=build,
    source="Zeng, Chen, Zhang and Xu 2023, Are Transformers Effective for Time Series Forecasting?; Toner and"
    " Darlow 2024, An Analysis of Linear Time Series Forecasting Models",
)
