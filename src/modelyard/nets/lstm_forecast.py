"""LSTM forecaster: a recurrent net reads the history; one linear layer answers all steps at once, beside a
linear one that sees the history itself."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import FORECASTS, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class LstmForecast(msgspec.Struct, frozen=True, kw_only=True):
    """`hidden`: units of a layer; `layers`; `dropout`: the share of the last state that a training step leaves
    out; `autoregressive`: add the linear part (Lai et al. 2018, section 3.6)."""

    hidden: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    layers: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    autoregressive: bool = True


def build(config: LstmForecast, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.windows import Forecaster, Tensor, nn

    class Recurrent(Forecaster):
        def __init__(self) -> None:
            super().__init__(shape)
            self.lstm = nn.LSTM(self.channels, config.hidden, config.layers, batch_first=True)
            self.dropout = nn.Dropout(config.dropout)
            self.head = nn.Linear(config.hidden, self.horizon)
            self.direct = (
                nn.Linear(self.history * self.channels, self.horizon) if config.autoregressive else None
            )

        def ahead(self, scaled: Tensor) -> Tensor:
            states, _ = self.lstm(scaled)
            found: Tensor = self.head(self.dropout(states[:, -1]))
            return found if self.direct is None else found + self.direct(scaled.flatten(1))

    return Recurrent()


NET: Final = Net(
    name="lstm_forecast",
    framework="pytorch",
    tasks=(FORECASTS,),
    config=LstmForecast,
    build=build,
    source="Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Lai et al. 2018, Modeling Long- and Short-Term"
    " Temporal Patterns with Deep Neural Networks (LSTNet)",
    exporter="trace",
)
