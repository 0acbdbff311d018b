"""GloVe: the product of two words' vectors is the logarithm of how often they occur near each other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np

from modelyard.nets.contract import VECTORS, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modelyard.tasks.contract import Examples

_TOGETHER: Final = 1 << 22  # places whose pairs are counted at a time
_HELD_OUT: Final = 20  # one of so many pairs, where there is a validation split


class Glove(msgspec.Struct, frozen=True, kw_only=True):
    """`window`: the farthest neighbour; one at a distance d counts 1 / d. `least`: what a pair's count is at
    least to be learnt. `limit` and `power`: a pair of the count x weighs (x / limit) ^ power, at most 1."""

    window: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    least: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    limit: Annotated[float, msgspec.Meta(gt=0)] = 50.0
    power: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.75


def build(config: Glove, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.layers import nn, torch
    from modelyard.nets.word_vectors import WordVectors

    class Glove(WordVectors):
        """A word's vector is the sum of its two, as one of two words and as the other (section 4.2): it is
        brought up to date whenever training pauses."""

        def __init__(self) -> None:
            super().__init__(shape)
            size = (self.words, self.width)
            self.one = nn.Parameter((torch.rand(size) - 0.5) / self.width)
            self.other = nn.Parameter((torch.rand(size) - 0.5) / self.width)
            self.one_bias = nn.Parameter(torch.zeros(self.words, 1))
            self.other_bias = nn.Parameter(torch.zeros(self.words, 1))
            self.register_buffer("vectors", torch.zeros(size))

        def train(self, mode: bool = True) -> "Glove":
            super().train(mode)
            with torch.no_grad():
                self.vectors.copy_(self.one + self.other)
            return self

        def material(
            self, train: "Examples", validation: "Examples | None"
        ) -> tuple["Examples", "Examples | None"]:
            """Pairs of words in the place of texts; of the training texts' pairs some are held out, since those
            of other texts are counted on another scale."""
            from modelyard.tasks.contract import Examples

            pairs, counts = _counted(train, self.words, config.window, self.left_out)
            kept = counts >= config.least
            pairs, counts = pairs[kept], counts[kept]
            every = Examples(inputs={"pair": pairs, "count": counts})
            if validation is None:
                return every, None
            held_out = np.zeros(len(pairs), bool)
            held_out[np.random.default_rng(0).permutation(len(pairs))[: len(pairs) // _HELD_OUT]] = True
            return every.take(np.flatnonzero(~held_out)), every.take(np.flatnonzero(held_out))

        def loss(
            self, inputs: "Mapping[str, Tensor]", targets: "Mapping[str, Tensor]", player: str = ""
        ) -> dict[str, "Tensor"]:
            """Equation 8, the mean over pairs, which count in both orders."""
            one, other = inputs["pair"].to(torch.int64).unbind(dim=1)
            count = inputs["count"]
            weight = (count / config.limit).clamp(max=1) ** config.power
            wrong = [self._product(i, j) - count.log() for i, j in ((one, other), (other, one))]
            return {"loss": (weight * (wrong[0] ** 2 + wrong[1] ** 2)).mean() / 2}

        def _product(self, one: "Tensor", other: "Tensor") -> "Tensor":
            chosen = nn.functional.embedding
            product = (chosen(one, self.one) * chosen(other, self.other)).sum(dim=1)
            return product + chosen(one, self.one_bias)[:, 0] + chosen(other, self.other_bias)[:, 0]

    return Glove()


def _counted(train: "Examples", words: int, window: int, left_out: list[int]) -> tuple[Any, Any]:
    """Pairs of words int32 [pairs, 2], the smaller number first, and their counts float32 [pairs] (section 3.1,
    with the decreasing weights of 4.2)."""
    ids, mask = train.inputs["input_ids"], train.inputs["attention_mask"] > 0
    mask = mask & ~np.isin(ids, left_out)
    rows = max(1, _TOGETHER // (ids.shape[1] * window))
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.float32)
    for start in range(0, len(ids), rows):
        found = _near(ids[start : start + rows], mask[start : start + rows], words, window)
        keys, counts = _summed(np.concatenate([keys, found[0]]), np.concatenate([counts, found[1]]))
    return np.stack([keys // words, keys % words], axis=1).astype(np.int32), counts


def _near(ids: Any, mask: Any, words: int, window: int) -> tuple[Any, Any]:
    keys, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for apart in range(1, min(window, ids.shape[1] - 1) + 1):
        both = mask[:, apart:] & mask[:, :-apart]
        one, other = ids[:, :-apart][both], ids[:, apart:][both]
        keys.append(np.minimum(one, other) * words + np.maximum(one, other))
        counts.append(np.full(len(one), 1 / apart, np.float32))
    return _summed(np.concatenate(keys), np.concatenate(counts))


def _summed(keys: Any, counts: Any) -> tuple[Any, Any]:
    """Each key once, in their order, with the sum of its counts."""
    once, place = np.unique(keys, return_inverse=True)
    return once, np.bincount(place, counts, len(once)).astype(np.float32)


NET: Final = Net(
    name="glove",
    framework="pytorch",
    tasks=(VECTORS,),
    config=Glove,
    build=build,
    source="Pennington, Socher and Manning 2014, GloVe: global vectors for word representation, sections 3 and 4.2",
)
