"""Item-based collaborative filtering: an item's score is what somebody gave to the items that are most like it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import RATINGS, RECOMMENDATION, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class ItemKnn(msgspec.Struct, frozen=True, kw_only=True):
    """
    neighbors  of each item: the model's size in the paper
    shrink      users in common that a similarity is drawn to 0 by: one of few users is chance
    damping     of ratings: of the biases that they are told from, as `popularity` has it
    """

    neighbors: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    shrink: Annotated[float, msgspec.Meta(ge=0)] = 100.0
    damping: Annotated[float, msgspec.Meta(ge=0)] = 10.0


def build(config: ItemKnn, shape: Shape) -> "nn.Module":
    """Similarities are cosines: of who had the items, or of what ratings are above the biases of user and item (the
    paper's adjusted cosine takes the user's mean). A rating is estimated by the biases and a mean, weighted by
    similarity, of what the user's ratings of the neighbors are above them. Raises MissingExtra without torch."""
    from modelyard.nets.histories import Biases, Sizes, dense, drawn_to_0, marked, matrix
    from modelyard.nets.layers import nn, torch

    sizes = Sizes(shape)
    neighbors = min(config.neighbors, sizes.items)

    class Module(nn.Module):
        nearest: "Tensor"
        weight: "Tensor"

        def __init__(self) -> None:
            super().__init__()
            self.biases = Biases(sizes, config.damping)
            self.register_buffer("nearest", torch.zeros(sizes.items, neighbors, dtype=torch.int64))
            self.register_buffer("weight", torch.zeros(sizes.items, neighbors))

        def solve(self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"]) -> None:
            ratings, known = matrix(targets, sizes, NET.name)
            value = known
            if sizes.rated:
                self.biases.solve(ratings, known)
                value = (ratings - self.biases(ratings, known)) * known
            common = known.T @ known
            squares = (value**2).T @ known  # [i, j]: of item i, over the users that had j too
            if not sizes.rated:
                squares = known.sum(0)[:, None].expand_as(common)
            like = (value.T @ value) / (squares * squares.T).sqrt().clamp(min=1e-9)
            like = (like * drawn_to_0(common, config.shrink)).fill_diagonal_(0).clamp(min=0)
            weight, nearest = like.topk(neighbors, dim=1)
            self.weight.copy_(weight)
            self.nearest.copy_(nearest)

        def answer(self, user: "Tensor", history: "Tensor", ratings: "Tensor") -> dict[str, "Tensor"]:
            known = marked(history, sizes.items)
            personal = (known.sum(1) > 0).to(torch.float32) + (user * 0).to(torch.float32)
            if not sizes.rated:
                return {"scores": self._sums(known), "personal": personal}
            given = dense(history, ratings, sizes.items)
            usual = self.biases(given, known)
            above = self._sums((given - usual) * known) / (self._sums(known) + _LITTLE)
            return {"scores": usual + above, "personal": personal}

        def _sums(self, values: "Tensor") -> "Tensor":
            """Of `values` [rows, items] of each item's neighbors, weighted, [rows, items]."""
            near = values.index_select(1, self.nearest.reshape(-1))
            return (near.reshape(-1, sizes.items, neighbors) * self.weight).sum(2)

    return Module()


_LITTLE: Final = 0.5  # of similarity, for the biases alone

NET: Final = Net(
    name="item_knn",
    framework="closed-form",
    tasks=(RECOMMENDATION, RATINGS),
    config=ItemKnn,
    build=build,
    source="Sarwar, Karypis, Konstan and Riedl 2001, Item-based collaborative filtering recommendation algorithms,"
    " section 3; Deshpande and Karypis 2004 for recommendation",
)
