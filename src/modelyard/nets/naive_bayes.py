"""Naive Bayes: features are taken to be independent within a class, numbers normal, categories as often as they
are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import CLASSES, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class NaiveBayes(msgspec.Struct, frozen=True, kw_only=True):
    """`variance`: added to a number's variance within a class, as a share of its variance over all rows;
    `counts`: added to how often each category stands in a class (Laplace's rule of succession)."""

    variance: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    counts: Annotated[float, msgspec.Meta(gt=0)] = 1.0


def build(config: NaiveBayes, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.layers import Tensor, nn, torch
    from modelyard.tasks.tables import category_widths

    widths = category_widths(shape.preprocessing)
    numbers = shape.width - sum(widths)
    begins = [sum(widths[:k]) for k in range(len(widths))]

    class Bayes(nn.Module):
        """Logits are log probabilities but for a constant, in float64: `mean` and `precision` [classes, numbers],
        `logs` [classes, category features], `prior` [classes]."""

        mean: Tensor
        precision: Tensor
        logs: Tensor
        prior: Tensor

        def __init__(self) -> None:
            super().__init__()
            classes = shape.values
            self.register_buffer("mean", torch.zeros(classes, numbers, dtype=torch.float64))
            self.register_buffer("precision", torch.ones(classes, numbers, dtype=torch.float64))
            self.register_buffer("logs", torch.zeros(classes, sum(widths), dtype=torch.float64))
            self.register_buffer("prior", torch.zeros(classes, dtype=torch.float64))

        def solve(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
            (features,) = inputs.values()
            x, y = features.double(), targets["target"]
            spread = config.variance * variance(x[:, :numbers]) + 1e-12
            for k in range(shape.values):
                rows = x[y == k]
                if not len(rows):  # a class that training has not
                    self.prior[k] = -1e9
                    continue
                own = rows[:, :numbers]
                self.mean[k] = own.mean(dim=0)
                self.precision[k] = 1 / (variance(own) + spread)
                for place, width in zip(begins, widths, strict=True):
                    counted = rows[:, numbers:][:, place : place + width].sum(dim=0) + config.counts
                    self.logs[k, place : place + width] = torch.log(counted / counted.sum())
                self.prior[k] = torch.log(torch.tensor(len(rows) / len(x), dtype=torch.float64))

        def forward(self, features: Tensor) -> Tensor:
            x = features.double()
            apart = (x[:, None, :numbers] - self.mean).square() * self.precision
            normal = 0.5 * (self.precision.log() - apart).sum(dim=2)
            logits = self.prior + normal + x[:, numbers:] @ self.logs.T
            return logits - logits.max(dim=1, keepdim=True).values

    def variance(x: Tensor) -> Tensor:
        return (x - x.mean(dim=0)).square().mean(dim=0)

    return Bayes()


NET: Final = Net(
    name="naive_bayes",
    framework="closed-form",
    tasks=(CLASSES,),
    config=NaiveBayes,
    build=build,
    source="Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, section 6.6.3",
)
