"""Neural collaborative filtering (NeuMF): a product of factors and a perceptron over factors, joined by a layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import RECOMMENDATION, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class Ncf(msgspec.Struct, frozen=True, kw_only=True):
    """
    factors    predictive factors: of the product, and units of the perceptron's last layer; the layer before has
               twice as many, and so have the user and the item that it reads
    negatives  items that a user did not have, drawn for each that the user had
    dropout    share of the perceptron's first factors that a step leaves out
    deviation  of the factors at the beginning
    """

    factors: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 32
    negatives: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.3
    deviation: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.05


def build(config: Ncf, shape: Shape) -> "nn.Module":
    """Trained by log loss over what users had and drawn items that they had not (equation 7). The perceptron's
    first layer is applied to users and items apart and added, which is cheaper for all items of a user together.
    Raises MissingExtra without torch."""
    from modelyard.nets.histories import Sizes, marked
    from modelyard.nets.layers import nn, torch

    sizes, factors = Sizes(shape), config.factors

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user_product = _table(sizes.users, factors)
            self.item_product = _table(sizes.items, factors)
            self.user_deep = _table(sizes.users, 2 * factors)
            self.item_deep = _table(sizes.items, 2 * factors)
            self.drop = nn.Dropout(config.dropout)
            self.user_layer = nn.Linear(2 * factors, 2 * factors)
            self.item_layer = nn.Linear(2 * factors, 2 * factors, bias=False)
            self.deep = nn.Sequential(nn.ReLU(), nn.Linear(2 * factors, factors), nn.ReLU())
            self.last = nn.Linear(2 * factors, 1)

        def answer(self, user: "Tensor", history: "Tensor", ratings: "Tensor") -> dict[str, "Tensor"]:
            """Logits of all items. Of somebody unknown they are another's, which `personal` says."""
            one = user.clamp(max=sizes.users - 1)
            product = self.user_product(one)[:, None] * self.item_product.weight
            deep = self.user_layer(self.user_deep(one))[:, None] + self.item_layer(self.item_deep.weight)
            scores = self._joined(product, deep)
            return {"scores": scores, "personal": (user < sizes.users).to(torch.float32)}

        def loss(
            self, inputs: Mapping[str, "Tensor"], targets: Mapping[str, "Tensor"], player: str = ""
        ) -> dict[str, "Tensor"]:
            """A mean over pairs of user and item; a drawn item that the user had counts for nothing."""
            item = targets["item"]
            row, place = (item < sizes.items).nonzero(as_tuple=True)
            had = marked(inputs["history"], sizes.items) + marked(item, sizes.items)
            others = row.repeat_interleave(config.negatives)
            drawn = torch.randint(sizes.items, others.shape, device=item.device)
            keep = had[others, drawn] == 0
            rows = torch.cat([row, others[keep]])
            items = torch.cat([item[row, place], drawn[keep]])
            wanted = torch.cat([torch.ones(len(row)), torch.zeros(int(keep.sum()))]).to(item.device)
            logits = self._pairs(inputs["user"][rows], items)
            return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, wanted)}

        def _pairs(self, user: "Tensor", item: "Tensor") -> "Tensor":
            product = self.user_product(user) * self.item_product(item)
            deep = self.user_layer(self.drop(self.user_deep(user))) + self.item_layer(
                self.drop(self.item_deep(item))
            )
            return self._joined(product, deep)

        def _joined(self, product: "Tensor", deep: "Tensor") -> "Tensor":
            """[..., factors] and [..., 2 factors] to logits [...]."""
            found: Tensor = self.last(torch.cat([product, self.deep(deep)], dim=-1))
            return found.squeeze(-1)

    def _table(rows: int, width: int) -> nn.Embedding:
        table = nn.Embedding(rows, width)
        nn.init.normal_(table.weight, std=config.deviation)
        return table

    return Module()


NET: Final = Net(
    name="ncf",
    framework="pytorch",
    tasks=(RECOMMENDATION,),
    config=Ncf,
    build=build,
    source="He, Liao, Zhang, Nie, Hu and Chua 2017, Neural collaborative filtering, sections 3.2 to 3.4",
)
