"""GPT: a decoder alone, that predicts each token of a text from those before it.

As GPT-2 has it: blocks normalised before their parts and once more at the end, learnt positions, the output layer
being the tokens' vectors again, and weights of what is added to the residual path begun smaller the more there are
(section 2.3). So its weights can also be told in the words of Hugging Face's GPT-2.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import LANGUAGE, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class Gpt(msgspec.Struct, frozen=True, kw_only=True):
    """`width`: of a token's vector, which `heads` share evenly; a feed-forward layer is four times as wide;
    `dropout`: of the first vectors, of attention, and of what each part adds."""

    layers: Annotated[int, msgspec.Meta(ge=1, le=48)] = 6
    width: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 256
    heads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1


def build(config: Gpt, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch, InvalidInput where heads do not divide the width."""
    from modelyard.nets.gpt_module import GptModule, Sizes

    if config.width % config.heads:
        raise InvalidInput("net.width is no multiple of net.heads", came=f"{config.width}, {config.heads}")
    given = shape.preprocessing
    return GptModule(
        Sizes(
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            dropout=config.dropout,
            vocabulary=int(given["vocabulary"]),
            context=int(given["context"]),
            start=int(given["start"]),
        )
    )


NET: Final = Net(
    name="gpt",
    framework="pytorch",
    tasks=(LANGUAGE,),
    config=Gpt,
    build=build,
    source="Radford et al. 2018, Improving language understanding by generative pre-training; Radford et al. 2019,"
    " Language models are unsupervised multitask learners, section 2.3",
    exporter="trace",
)
