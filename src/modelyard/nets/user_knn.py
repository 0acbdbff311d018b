"""User-based collaborative filtering: what the users who are most like somebody gave."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import RATINGS, RECOMMENDATION, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class UserKnn(msgspec.Struct, frozen=True, kw_only=True):
    """
    neighbors  users who are asked
    shrink      items in common that a similarity is drawn to 0 by (Herlocker et al. 1999)
    damping     of ratings: of the biases that they are told from, as `popularity` has it
    """

    neighbors: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 80
    shrink: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    damping: Annotated[float, msgspec.Meta(ge=0)] = 10.0


def build(config: UserKnn, shape: Shape) -> "nn.Module":
    """Similarities are cosines of what two users had, or the correlation of their ratings where both rated, each
    told from the biases. A neighbor counts by how much more like it is than the first who is not asked
    (Hechenbichler and Schliep 2004), so that no answer hangs on which of two equal users comes in. The training
    split is in the model. Raises MissingExtra without torch."""
    from modelyard.nets.histories import Biases, Sizes, dense, drawn_to_0, marked, matrix
    from modelyard.nets.layers import nn, torch

    sizes = Sizes(shape)

    class Module(nn.Module):
        known: "Tensor"
        value: "Tensor"
        number: "Tensor"

        def __init__(self) -> None:
            super().__init__()
            self.biases = Biases(sizes, config.damping)
            self.register_buffer("known", torch.zeros(sizes.users, sizes.items))
            self.register_buffer("value", torch.zeros(sizes.users if sizes.rated else 0, sizes.items))
            self.register_buffer("number", torch.arange(sizes.users))

        def solve(self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"]) -> None:
            ratings, known = matrix(targets, sizes, NET.name)
            self.known[inputs["user"]] = known
            if sizes.rated:
                self.biases.solve(ratings, known)
                self.value[inputs["user"]] = (ratings - self.biases(ratings, known)) * known

        def answer(self, user: "Tensor", history: "Tensor", ratings: "Tensor") -> dict[str, "Tensor"]:
            known = marked(history, sizes.items)
            personal = (known.sum(1) > 0).to(torch.float32)
            if not sizes.rated:
                size = known.sum(1)[:, None] * self.known.sum(1)
                weight = self._weights(user, known @ self.known.T, known, size)
                return {"scores": weight @ self.known, "personal": personal}
            given = dense(history, ratings, sizes.items)
            usual = self.biases(given, known)
            above = (given - usual) * known
            size = (above**2 @ self.known.T) * (known @ (self.value**2).T)
            weight = self._weights(user, above @ self.value.T, known, size)
            scores = usual + (weight @ self.value) / (weight @ self.known + _LITTLE)
            return {"scores": scores, "personal": personal}

        def _weights(self, user: "Tensor", product: "Tensor", known: "Tensor", size: "Tensor") -> "Tensor":
            """Of each user of training, for each row; 0 for the row's own, [rows, users]."""
            common = known @ self.known.T
            like = product / size.clamp(min=1e-9).sqrt() * drawn_to_0(common, config.shrink)
            like = like * user[:, None].ne(self.number).to(torch.float32)
            asked = min(config.neighbors + 1, sizes.users)
            first_out: Tensor = like.topk(asked, dim=1).values[:, -1:].clamp(min=0)
            return (like - first_out).clamp(min=0)

    return Module()


_LITTLE: Final = 0.5  # of similarity, for the biases alone

NET: Final = Net(
    name="user_knn",
    framework="closed-form",
    tasks=(RECOMMENDATION, RATINGS),
    config=UserKnn,
    build=build,
    source="Resnick, Iacovou, Suchak, Bergstrom and Riedl 1994, GroupLens: an open architecture for collaborative"
    " filtering of netnews",
)
