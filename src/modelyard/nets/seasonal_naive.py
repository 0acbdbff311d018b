"""Seasonal naive: the last season again. The baseline that every forecaster has to beat."""

from typing import TYPE_CHECKING, Final

import msgspec

from modelyard.nets.contract import FORECASTS, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class SeasonalNaive(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to choose: the season is the preprocessing's."""


def build(config: SeasonalNaive, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from collections.abc import Mapping

    from modelyard.nets.windows import Forecaster, Tensor, torch

    class Repeating(Forecaster):
        places: Tensor

        def __init__(self) -> None:
            super().__init__(shape)
            back = torch.arange(self.horizon) % self.season - self.season
            self.register_buffer("places", back + self.history)

        def forward(self, history: Tensor) -> Tensor:
            return history[:, :, 0].index_select(1, self.places)

        def solve(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
            """Nothing is fitted."""

    return Repeating()


NET: Final = Net(
    name="seasonal_naive",
    framework="closed-form",
    tasks=(FORECASTS,),
    config=SeasonalNaive,
    build=build,
    source="Hyndman and Athanasopoulos 2021, Forecasting: Principles and Practice, section 5.2",
)
