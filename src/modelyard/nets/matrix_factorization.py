"""Matrix factorization: users and items as vectors whose products, with the biases of both, are the ratings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import RATINGS, RECOMMENDATION, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class MatrixFactorization(msgspec.Struct, frozen=True, kw_only=True):
    """
    factors     of each user and item
    penalty     on the squares of what a known rating is computed from, beside its own square (the paper's lambda)
    confidence  without ratings: how much more an item counts that a user had than one that is not known
    deviation   of the factors at the beginning
    """

    factors: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    penalty: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    confidence: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    deviation: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.02


def build(config: MatrixFactorization, shape: Shape) -> "nn.Module":
    """Ratings: squared error over those that are known. Without them: over all cells, 1 for what a user had and 0
    for the rest, weighted by confidence ("Inputs with varying confidence levels"). Raises MissingExtra without
    torch."""
    from modelyard.nets.histories import Sizes, dense, marked
    from modelyard.nets.layers import nn, torch

    sizes = Sizes(shape)

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # The last user is somebody unknown: zeros that no step moves, so that the items' biases answer.
            drawn = torch.randn(sizes.users + 1, config.factors) * config.deviation
            drawn[-1] = 0
            self.user = nn.Parameter(drawn)
            self.item = nn.Parameter(torch.randn(sizes.items, config.factors) * config.deviation)
            self.user_bias = nn.Parameter(torch.zeros(sizes.users + 1))
            self.item_bias = nn.Parameter(torch.zeros(sizes.items))

        def answer(self, user: "Tensor", history: "Tensor", ratings: "Tensor") -> dict[str, "Tensor"]:
            return {"scores": self._scores(user), "personal": (user < sizes.users).to(torch.float32)}

        def loss(
            self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"], player: str = ""
        ) -> dict[str, "Tensor"]:
            """In training with the penalty. Measured, it is the errors of ratings, or else the share of the items
            that somebody has not that stand above a wanted one (Hu, Koren and Volinsky 2008, section 5)."""
            user, item, weight = inputs["user"], targets["item"], targets["weight"]
            scores, known = self._scores(user), marked(item, sizes.items)
            # What was had and is not wanted here is neither: in validation, the training split's.
            rest = (1 - known) * (1 - marked(inputs["history"], sizes.items))
            if not sizes.rated and not self.training:
                return {"loss": (weight * _above(scores, item, rest > 0)).mean()}
            wanted, counts = known, known * (1 + config.confidence) + rest
            if sizes.rated:
                wanted, counts = dense(item, targets["rating"], sizes.items), known
            error = ((scores - wanted) ** 2 * counts).sum(1) / known.sum(1)
            error = (weight * error).mean()
            if not self.training:
                return {"loss": error, "squared_error": error}
            squares = (self.item**2).sum(1) + self.item_bias**2
            own = (self.user[user] ** 2).sum(1) + self.user_bias[user] ** 2
            penalty = (weight * (own + (known @ squares) / known.sum(1))).mean()
            return {"loss": error + config.penalty * penalty, "squared_error": error}

        def _scores(self, user: "Tensor") -> "Tensor":
            biases = (sizes.mean if sizes.rated else 0.0) + self.user_bias[user][:, None] + self.item_bias
            return self.user[user] @ self.item.T + biases

    def _above(scores: "Tensor", item: "Tensor", rest: "Tensor") -> "Tensor":
        """The share of `rest` [rows, items] with higher scores than a row's items, their mean, [rows]."""
        order = scores.masked_fill(~rest, float("inf")).sort(dim=1).values
        own = scores.gather(1, item.clamp(max=sizes.items - 1))
        size = rest.sum(1, keepdim=True)
        above = (size - torch.searchsorted(order, own, right=True)).clamp(min=0) / size.clamp(min=1)
        used = (item < sizes.items).to(torch.float32)
        return (above * used).sum(1) / used.sum(1)

    return Module()


NET: Final = Net(
    name="matrix_factorization",
    framework="pytorch",
    tasks=(RECOMMENDATION, RATINGS),
    config=MatrixFactorization,
    build=build,
    source="Koren, Bell and Volinsky 2009, Matrix factorization techniques for recommender systems",
)
