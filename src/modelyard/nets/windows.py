"""What forecasters share: the scale of a history, and their objective. Imported by `build` functions only:
torch is needed."""

from collections.abc import Mapping
from typing import Any

from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch

__all__ = ["Forecaster", "Tensor", "nn", "torch"]


class Forecaster(nn.Module):
    """Histories float32 [rows, length, channels] in, forecasts [rows, horizon] out, both in the data's units.

    A subclass has `ahead`, which sees scaled histories and answers scaled values. What is subtracted and
    divided by (the option `scale`): of "window" each history's own mean and deviation (Kim et al. 2022,
    Reversible Instance Normalization, section 3.1), of "last" its last value and training's deviation (the
    normalisation of NLinear in Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?,
    section 3), of "standard" training's."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        given: Mapping[str, Any] = shape.preprocessing
        self.kind = str(given["scale"])
        self.history, self.horizon = int(given["history"]), int(given["horizon"])
        self.season, self.channels = int(given["season"]), len(given["channels"])
        plain = self.kind == "none"
        mean = [0.0] * self.channels if plain else given["mean"]
        std = [1.0] * self.channels if plain else given["std"]
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def ahead(self, scaled: Tensor) -> Tensor:
        """Scaled histories [rows, length, channels] to scaled forecasts [rows, horizon]."""
        raise NotImplementedError

    def forward(self, history: Tensor) -> Tensor:
        center, spread = self.scales(history)
        return self.ahead((history - center) / spread) * spread[:, :, 0] + center[:, :, 0]

    def scales(self, history: Tensor) -> tuple[Tensor, Tensor]:
        """What is subtracted and what is divided by, each [rows, 1, channels]."""
        std = self.std.expand(history.shape[0], 1, self.channels)
        if self.kind == "window":
            center = history.mean(dim=1, keepdim=True)
            own = (history - center).pow(2).mean(dim=1, keepdim=True).sqrt()
            return center, torch.maximum(own, 0.01 * std)
        if self.kind == "last":
            return history[:, -1:], std
        return self.mean.expand(history.shape[0], 1, self.channels), std

    def answer(self, history: Tensor) -> dict[str, Tensor]:
        return {"prediction": self(history)}

    def loss(
        self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
    ) -> dict[str, Tensor]:
        """Mean absolute error in training's deviations, over the steps that are known."""
        known = targets["known"].to(torch.float32)
        error = (self(inputs["history"]) - targets["target"].to(torch.float32)).abs() / self.std[0]
        return {"loss": (error * known).sum() / known.sum().clamp(min=1)}
