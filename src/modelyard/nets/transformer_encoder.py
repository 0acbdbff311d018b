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
    `dropout`: of each block's two additions, and of the first vectors."""

    width: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 64
    heads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    layers: Annotated[int, msgspec.Meta(ge=1, le=48)] = 2
    hidden: Annotated[int, msgspec.Meta(ge=1, le=16_384)] = 128
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.3


def build(config: TransformerEncoder, shape: Shape) -> "nn.Module":
    """Normalised before each part (Xiong et al. 2020), which needs no long warm-up. Raises MissingExtra without
    torch, InvalidInput where heads do not divide the width."""
    from modelyard.nets import tokens
    from modelyard.nets.layers import nn, torch

    if config.width % config.heads or config.width % 2:
        raise InvalidInput(
            "net.width is not even, or not a multiple of net.heads", came=f"{config.width}, {config.heads}"
        )

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before_attention, self.before_feed = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
            self.projected = nn.Linear(config.width, 3 * config.width)
            self.joined = nn.Linear(config.width, config.width)
            self.feed = nn.Sequential(
                nn.Linear(config.width, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.width)
            )
            self.dropout = nn.Dropout(config.dropout)

        def forward(self, hidden: "Tensor", seen: "Tensor") -> "Tensor":
            hidden = hidden + self.dropout(self.attended(self.before_attention(hidden), seen))
            added: Tensor = self.dropout(self.feed(self.before_feed(hidden)))
            return hidden + added

        def attended(self, hidden: "Tensor", seen: "Tensor") -> "Tensor":
            """Section 3.2.2; `seen` is bool [rows, 1, 1, tokens]."""
            query, key, value = (
                part.unflatten(-1, (config.heads, -1)).transpose(1, 2)
                for part in self.projected(hidden).chunk(3, dim=-1)
            )
            found = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
            joined: Tensor = self.joined(found.transpose(1, 2).flatten(2))
            return joined

    class Encoder(nn.Module):
        places: "Tensor"

        def __init__(self) -> None:
            super().__init__()
            self.vectors = nn.Embedding(int(shape.preprocessing["vocabulary"]), config.width)
            nn.init.normal_(self.vectors.weight, std=config.width**-0.5)
            self.register_buffer(
                "places", _sinusoids(int(shape.preprocessing["max_length"])), persistent=False
            )
            self.blocks = nn.ModuleList(Block() for _ in range(config.layers))
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

    def _sinusoids(length: int) -> "Tensor":
        """Section 3.5, float32 [length, width]."""
        rates = torch.exp(torch.arange(0, config.width, 2) * (-math.log(10_000.0) / config.width))
        angles = torch.arange(length).unsqueeze(1) * rates
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

    return Encoder()


NET: Final = Net(
    name="transformer_encoder",
    framework="pytorch",
    tasks=(TEXTS,),
    config=TransformerEncoder,
    build=build,
    source="Vaswani et al. 2017, Attention is all you need, section 3.1, as an encoder alone",
)
