"""Popularity: the same items for everybody, the baseline that a recommender has to beat. Of ratings, the mean with
the biases of user and item."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import RATINGS, RECOMMENDATION, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class Popularity(msgspec.Struct, frozen=True, kw_only=True):
    """`damping`: ratings of the mean that each user and item begins with."""

    damping: Annotated[float, msgspec.Meta(ge=0)] = 10.0


def build(config: Popularity, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.histories import Biases, Sizes, dense, marked, matrix
    from modelyard.nets.layers import nn, torch

    sizes = Sizes(shape)

    class Module(nn.Module):
        count: "Tensor"

        def __init__(self) -> None:
            super().__init__()
            self.biases = Biases(sizes, config.damping)
            self.register_buffer("count", torch.zeros(sizes.items))

        def solve(self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"]) -> None:
            ratings, known = matrix(targets, sizes, NET.name)
            self.biases.solve(ratings, known)
            self.count.copy_(known.sum(0))

        def answer(self, user: "Tensor", history: "Tensor", ratings: "Tensor") -> dict[str, "Tensor"]:
            """Without ratings nothing is a user's own: `personal` is 0."""
            known = marked(history, sizes.items)
            if sizes.rated:
                scores = self.biases(dense(history, ratings, sizes.items), known)
                return {"scores": scores, "personal": (known.sum(1) > 0).to(torch.float32)}
            none = (user * 0).to(torch.float32)
            return {"scores": self.count + none[:, None], "personal": none}

    return Module()


NET: Final = Net(
    name="popularity",
    framework="closed-form",
    tasks=(RECOMMENDATION, RATINGS),
    config=Popularity,
    build=build,
    source="Koren, Bell and Volinsky 2009, Matrix factorization techniques for recommender systems: adding biases",
)
