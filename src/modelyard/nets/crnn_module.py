"""The module of crnn.py. Imported by its `build` only: torch is needed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch

if TYPE_CHECKING:
    from modelyard.nets.crnn import Crnn

functional = nn.functional
BLANK = 0
"""The symbol that says nothing."""


class CrnnModule(nn.Module):
    """See `contract.Own`. Rows are of several lengths; what lies after a row's frames changes nothing."""

    def __init__(self, config: "Crnn", shape: Shape) -> None:
        super().__init__()
        first, second = config.channels
        bands, symbols = shape.input.shape[-1], shape.output.shape[-1]
        self.strides = (2, config.subsampling // 2)
        self.first = nn.Conv2d(1, first, 3, stride=2, padding=1)
        self.second = nn.Conv2d(first, second, 3, stride=(self.strides[1], 2), padding=1)
        width = second * _divided(_divided(bands, 2), 2)
        self.norm = nn.LayerNorm(width)
        widths = [width] + [2 * config.hidden] * (config.layers - 1)
        self.recurrent = nn.ModuleList([Both(config, w) for w in widths])
        self.dropout = nn.Dropout(config.dropout)
        self.last = nn.Linear(2 * config.hidden, symbols)

    def forward(self, spectrogram: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[rows, frames, bands], of which each row uses `frames` int64 [rows], to log probabilities [rows, steps,
        symbols], the steps that each row uses, and a mask [rows, steps, 1] of them."""
        x = (spectrogram * _mask(frames, spectrogram.shape[1])).unsqueeze(1)
        steps = frames
        for convolution, stride in zip((self.first, self.second), self.strides, strict=True):
            x = functional.relu(convolution(x))
            steps = (steps + (stride - 1)) // stride
            x = x * _mask(steps, x.shape[2]).unsqueeze(1)
        mask = _mask(steps, x.shape[2])
        x = self.norm(x.permute(0, 2, 1, 3).flatten(2))
        turned = _turned(steps, x.shape[1])
        for layer in self.recurrent:
            x = layer(self.dropout(x), turned)
        return self.last(self.dropout(x)).log_softmax(dim=2), steps, mask

    def loss(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Nats a letter. A row whose letters do not fit into its steps counts as 0."""
        found, steps, _ = self(inputs["spectrogram"], inputs["frames"])
        letters = targets["letters"]
        rows = functional.ctc_loss(
            found.float().transpose(0, 1),
            targets["symbols"],
            steps,
            letters,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return {"loss": (rows / letters.clamp(min=1)).mean()}

    def answer(self, spectrogram: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Padding is answered with zeros, whatever else is in the batch."""
        found, steps, mask = self(spectrogram, frames)
        return {"log_probabilities": found * mask, "steps": steps}


class Both(nn.Module):
    """One recurrent layer in both directions. The backward one reads each row from its own last step on: packed
    sequences, which do the same, cannot be exported."""

    def __init__(self, config: "Crnn", width: int) -> None:
        super().__init__()
        cell = nn.GRU if config.cell == "gru" else nn.LSTM
        self.forwards = cell(width, config.hidden, batch_first=True)
        self.backwards = cell(width, config.hidden, batch_first=True)

    def forward(self, x: Tensor, turned: Tensor) -> Tensor:
        ahead, _ = self.forwards(x)
        back, _ = self.backwards(_taken(x, turned))
        return torch.cat([ahead, _taken(back, turned)], dim=2)


def _mask(lengths: Tensor, size: Any) -> Tensor:
    """1 where a row has something, float32 [rows, size, 1]."""
    return (torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]).float().unsqueeze(2)


def _turned(steps: Tensor, size: Any) -> Tensor:
    """Which step stands where when each row is read from its end, int64 [rows, size]; padding stays."""
    places = torch.arange(size, device=steps.device)[None, :]
    return torch.where(places < steps[:, None], steps[:, None] - 1 - places, places)


def _taken(x: Tensor, places: Tensor) -> Tensor:
    return x.gather(1, places.unsqueeze(2).expand(-1, -1, x.shape[2]))


def _divided(size: int, by: int) -> int:
    return (size + by - 1) // by
