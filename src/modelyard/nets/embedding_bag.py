"""fastText: the mean of the vectors of a text's words and groups of words, and one linear layer."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import TEXTS, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class EmbeddingBag(msgspec.Struct, frozen=True, kw_only=True):
    """`width`: of a vector; `word_groups`: the longest group of neighbouring tokens with a vector of its own,
    which groups share in `buckets` by a hash; `dropout`: the share of the mean's values that a training step
    leaves out."""

    width: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    word_groups: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    buckets: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 50_000
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.7


def build(config: EmbeddingBag, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets import tokens
    from modelyard.nets.layers import nn

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            vocabulary = int(shape.preprocessing["vocabulary"])
            self.groups = tokens.WordGroups(config.word_groups, config.buckets, vocabulary)
            self.vectors = nn.Embedding(self.groups.size, config.width)
            nn.init.uniform_(self.vectors.weight, -1 / config.width, 1 / config.width)
            self.dropout = nn.Dropout(config.dropout)
            self.last = nn.Linear(config.width, shape.values)

        def forward(self, input_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
            numbers, present = self.groups(input_ids, attention_mask)
            mean = tokens.mean_of(self.vectors(numbers.flatten(1)), present.flatten(1))
            logits: Tensor = self.last(self.dropout(mean))
            return logits

    return Bag()


NET: Final = Net(
    name="embedding_bag",
    framework="pytorch",
    tasks=(TEXTS,),
    config=EmbeddingBag,
    build=build,
    source="Joulin, Grave, Bojanowski and Mikolov 2016, Bag of tricks for efficient text classification, section 2",
)
