"""word2vec: a word's vector is what tells its neighbours in texts from any other words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np

from modelyard.nets.contract import VECTORS, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modelyard.tasks.contract import Examples

_NOISE: Final = 0.75  # the power of a word's frequency that noise is drawn by


class Word2vec(msgspec.Struct, frozen=True, kw_only=True):
    """`window`: the farthest neighbour; each word draws its own reach from 1 to this. `negatives`: noise words
    for each neighbour, in expectation: `shared` of them are drawn for a batch, and each counts for as much as it
    stands for (Ji et al. 2016). `subsample`: of a word whose share of all words is f, the share sqrt(subsample /
    f) is kept; 0: all."""

    window: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5
    negatives: Annotated[float, msgspec.Meta(gt=0, le=100)] = 5.0
    shared: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 512
    subsample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0003


def build(config: Word2vec, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.layers import nn, torch
    from modelyard.nets.word_vectors import WordVectors

    log_sigmoid = nn.functional.logsigmoid

    class SkipGram(WordVectors):
        noise: "Tensor"
        kept: "Tensor"

        def __init__(self) -> None:
            super().__init__(shape)
            self.vectors = nn.Parameter((torch.rand(self.words, self.width) - 0.5) / self.width)
            self.contexts = nn.Parameter(torch.zeros(self.words, self.width))
            self.register_buffer("noise", torch.ones(self.words))
            self.register_buffer("kept", torch.ones(self.words))

        def material(
            self, train: "Examples", validation: "Examples | None"
        ) -> tuple["Examples", "Examples | None"]:
            """The texts as they are; the frequencies of their words are kept."""
            ids = train.inputs["input_ids"][train.inputs["attention_mask"] > 0]
            counts = np.bincount(ids, minlength=self.words).astype(np.float64)
            counts[self.left_out] = 0
            share = counts / max(1.0, counts.sum())
            kept = (
                np.sqrt(config.subsample / np.maximum(share, 1e-12))
                if config.subsample
                else np.ones(self.words)
            )
            self.noise.copy_(torch.from_numpy(np.cumsum(counts**_NOISE)))
            self.kept.copy_(torch.from_numpy(kept))
            return train, validation

        def loss(
            self, inputs: "Mapping[str, Tensor]", targets: "Mapping[str, Tensor]", player: str = ""
        ) -> dict[str, "Tensor"]:
            """Equation 4 of the paper, in nats a pair, of sentences without their left out words."""
            ids, present = self._subsampled(inputs["input_ids"], inputs["attention_mask"])
            pairs = self._pairs(present)
            count = pairs.sum().clamp(min=1)
            centres = nn.functional.embedding(ids, self.vectors)
            scores = centres @ nn.functional.embedding(ids, self.contexts).transpose(1, 2)
            positive = -(log_sigmoid(scores) * pairs).sum() / count
            noise = centres @ nn.functional.embedding(self._noise(), self.contexts).T
            weight = pairs.sum(dim=2) * (config.negatives / config.shared)
            negative = -(log_sigmoid(-noise).sum(dim=2) * weight).sum() / count
            return {"loss": positive + negative, "neighbours": positive.detach(), "noise": negative.detach()}

        def _subsampled(self, ids: "Tensor", mask: "Tensor") -> tuple["Tensor", "Tensor"]:
            """Sentences closed up where words are left out (section 2.3), and which places are words."""
            kept = (
                (torch.rand(ids.shape, device=ids.device) < self.kept[ids]) & (mask > 0) & self.is_word(ids)
            )
            order = torch.argsort((~kept).to(torch.int8), dim=1, stable=True)
            longest = max(1, int(kept.sum(dim=1).max()))
            return ids.gather(1, order)[:, :longest], kept.gather(1, order)[:, :longest]

        def _pairs(self, present: "Tensor") -> "Tensor":
            """float32 [rows, words, words]: 1 where the second is a neighbour of the first."""
            places = torch.arange(present.shape[1], device=present.device)
            apart = (places[:, None] - places[None, :]).abs()
            reach = torch.randint(1, config.window + 1, (*present.shape, 1), device=present.device)
            near = (apart > 0) & (apart <= reach)
            return (near & present[:, :, None] & present[:, None, :]).to(torch.float32)

        def _noise(self) -> "Tensor":
            """Words by their frequency to the power 3/4 (section 2.2), int64 [shared]."""
            drawn = torch.rand(config.shared, device=self.noise.device, dtype=torch.float32) * self.noise[-1]
            return torch.searchsorted(self.noise, drawn, right=True).clamp(max=self.words - 1)

    return SkipGram()


NET: Final = Net(
    name="word2vec",
    framework="pytorch",
    tasks=(VECTORS,),
    config=Word2vec,
    build=build,
    source="Mikolov, Sutskever, Chen, Corrado and Dean 2013, Distributed representations of words and phrases and"
    " their compositionality, section 2",
)
