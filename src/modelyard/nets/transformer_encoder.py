"""Transformer encoder of texts: self-attention over all tokens, pooled by their mean."""

import math
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import TEXTS, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class TransformerEncoder(msgspec.Struct, frozen=True, kw_only=True):
    """`width`: of a token's vector, which `heads` share evenly; `hidden`: units of a block's feed-forward layer;
    `dropout`: of each block's attention and two additions, and of the first vectors."""

    width: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 64
    heads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    layers: Annotated[int, msgspec.Meta(ge=1, le=48)] = 2
    hidden: Annotated[int, msgspec.Meta(ge=1, le=16_384)] = 128
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.3


def build(config: TransformerEncoder, shape: Shape) -> "nn.Module":
    """Normalised before each part (Xiong et al. 2020), which needs no long warm-up. Raises MissingExtra without
    torch, InvalidInput where heads do not divide the width."""
    from modelyard.nets import tokens
    from modelyard.nets.attention import Block, sinusoids
    from modelyard.nets.layers import nn

    if config.width % config.heads or config.width % 2:
        raise InvalidInput(
            "net.width is not even, or not a multiple of net.heads", came=f"{config.width}, {config.heads}"
        )

    class Encoder(nn.Module):
        places: "Tensor"

        def __init__(self) -> None:
            super().__init__()
            self.vectors = nn.Embedding(int(shape.preprocessing["vocabulary"]), config.width)
            nn.init.normal_(self.vectors.weight, std=config.width**-0.5)
            places = sinusoids(int(shape.preprocessing["max_length"]), config.width)
            self.register_buffer("places", places, persistent=False)
            self.blocks = nn.ModuleList(
                Block(config.width, config.heads, config.hidden, config.dropout) for _ in range(config.layers)
            )
            self.norm = nn.LayerNorm(config.width)
            self.dropout = nn.Dropout(config.dropout)
            self.last = nn.Linear(config.width, shape.values)

        def forward(self, input_ids: "Tensor", attention_mask: "Tensor") -> "Tensor":
            hidden = self.vectors(input_ids) * math.sqrt(config.width) + self.places[: input_ids.shape[1]]
            hidden, seen = self.dropout(hidden), (attention_mask > 0)[:, None, None, :]
            for block in self.blocks:
                hidden = block(hidden, seen)
            pooled = tokens.mean_of(self.norm(hidden), attention_mask)
            logits: Tensor = self.last(self.dropout(pooled))
            return logits

    return Encoder()


NET: Final = Net(
    name="transformer_encoder",
    framework="pytorch",
    tasks=(TEXTS,),
    config=TransformerEncoder,
    build=build,
    source="Vaswani et al. 2017, Attention is all you need, section 3.1, as an encoder alone",
)
