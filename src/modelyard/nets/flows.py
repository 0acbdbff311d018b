"""Invertible maps from normal noise to another density. Imported by `build` functions only: torch is needed.

Dinh, Sohl-Dickstein and Bengio 2017, Density estimation using Real NVP, section 3.
"""

import math
from itertools import pairwise
from typing import Any

from modelyard.nets.image_layers import Asked
from modelyard.nets.layers import Tensor, nn, torch

_HALF_LOG_TWO_PI = math.log(2 * math.pi) / 2


class Flow(nn.Module):
    """Couplings one after the other, of which each moves one half of the values by what the other half and the
    label say. Without one, noise stays as it is."""

    def __init__(self, width: int, classes: int, couplings: int, hidden: int) -> None:
        super().__init__()
        count = couplings if width > 1 else 0  # one value has no halves
        self.couplings = nn.ModuleList(
            Coupling(width, classes, hidden, flipped=number % 2 == 1) for number in range(count)
        )

    def forward(self, noise: Tensor, label: Tensor | None) -> Tensor:
        """[rows, width], normal, to values of the density."""
        values = noise
        for coupling in self.couplings:
            values = coupling(values, label)
        return values

    def log_density(self, values: Tensor, label: Tensor | None) -> Tensor:
        """In nats, of [rows, width]: [rows]. Equations 2 and 3."""
        volume = torch.zeros_like(values[:, 0])
        coupling: Any
        for coupling in reversed(self.couplings):
            values, change = coupling.inverse(values, label)
            volume = volume + change
        return volume - (values**2 / 2 + _HALF_LOG_TWO_PI).sum(dim=1)


class Coupling(nn.Module):
    """Equations 7 and 8; it begins as the identity. Scales lie between exp(-2) and exp(2)."""

    def __init__(self, width: int, classes: int, hidden: int, *, flipped: bool) -> None:
        super().__init__()
        self._sizes = (width // 2, width - width // 2)
        self._flipped = flipped
        kept, moved = reversed(self._sizes) if flipped else self._sizes
        self.asked = Asked(classes)
        widths = [kept + self.asked.width, hidden, hidden]
        inner = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        last = nn.Linear(hidden, 2 * moved)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(*inner, last)

    def forward(self, values: Tensor, label: Tensor | None) -> Tensor:
        kept, moved = self._halves(values)
        scale, shift = self._said(kept, label)
        return self._whole(kept, moved * scale.exp() + shift)

    def inverse(self, values: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        """What came, and the logarithm of the determinant of this direction, [rows]."""
        kept, moved = self._halves(values)
        scale, shift = self._said(kept, label)
        return self._whole(kept, (moved - shift) * (-scale).exp()), -scale.sum(dim=1)

    def _said(self, kept: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        scale, shift = self.body(self.asked(kept, label)).chunk(2, dim=1)
        return 2 * torch.tanh(scale / 2), shift

    def _halves(self, values: Tensor) -> tuple[Tensor, Tensor]:
        first, second = values[:, : self._sizes[0]], values[:, self._sizes[0] :]
        return (second, first) if self._flipped else (first, second)

    def _whole(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, kept) if self._flipped else (kept, moved), dim=1)
