"""Variational autoencoder for texts: gated units read a text into a normal distribution, others write it again from
a draw.

A net that writes well needs no code, and so learns to do without (posterior collapse). What is done against it:
words that it wrote are hidden from it (word dropout), the divergence counts little at first (annealing), and below
some bits not at all (free bits; Kingma et al. 2016, Improving variational inference with inverse autoregressive
flow, appendix C.8).
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import AUTOENCODED, Net, Shape

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class TextVae(msgspec.Struct, frozen=True, kw_only=True):
    """`vectors`: width of a token's; `units` of the reader and of the writer; `dropout` of vectors and of what is
    written from; `word_dropout`: the share of tokens that the writer does not see; `annealing`: steps until the
    divergence counts in full; `free_nats` of each number of the code, which cost nothing."""

    vectors: Width = 128
    units: Width = 256
    dropout: Share = 0.1
    word_dropout: Share = 0.5
    annealing: Annotated[int, msgspec.Meta(ge=0)] = 1000
    free_nats: Annotated[float, msgspec.Meta(ge=0)] = 0.25


def build(config: TextVae, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.text_vae_module import Texts, TextVaeModule

    return TextVaeModule(config, Texts.of(shape))


NET: Final = Net(
    name="text_vae",
    framework="pytorch",
    tasks=(AUTOENCODED,),
    config=TextVae,
    build=build,
    source="Bowman et al. 2016, Generating sentences from a continuous space",
    exporter="trace",
)
