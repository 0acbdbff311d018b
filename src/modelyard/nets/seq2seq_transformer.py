"""Transformer encoder-decoder: reads a source whole, and writes its translation token by token."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import TRANSLATED, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class Seq2SeqTransformer(msgspec.Struct, frozen=True, kw_only=True):
    """`layers` of the encoder, and as many of the decoder; `width`: of a token's vector, which `heads` share
    evenly; `hidden`: units of a feed-forward layer; `dropout`: of the first vectors, of attention, and of what each
    part adds; `label_smoothing`: the share of a token's probability that is spread over all (section 5.4)."""

    layers: Annotated[int, msgspec.Meta(ge=1, le=48)] = 3
    width: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 256
    heads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    hidden: Annotated[int, msgspec.Meta(ge=1, le=16_384)] = 1024
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1


def build(config: Seq2SeqTransformer, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch, InvalidInput where heads do not divide the width, or that is odd."""
    from modelyard.nets.seq2seq import Texts
    from modelyard.nets.seq2seq_transformer_module import TransformerModule

    if config.width % config.heads or config.width % 2:
        raise InvalidInput(
            "net.width is not even, or no multiple of net.heads", came=f"{config.width}, {config.heads}"
        )
    return TransformerModule(config, Texts.of(shape))


NET: Final = Net(
    name="seq2seq_transformer",
    framework="pytorch",
    tasks=(TRANSLATED,),
    config=Seq2SeqTransformer,
    build=build,
    source="Vaswani et al. 2017, Attention is all you need, section 3",
    exporter="trace",
)
