"""Convolutions and bidirectional recurrent layers over a spectrogram, trained by connectionist temporal
classification: which sounds belong to which letters need not be said."""

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from modelyard.nets.contract import SPEECH, Net, Shape

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class Crnn(msgspec.Struct, frozen=True, kw_only=True):
    """
    channels     of the two convolutions
    hidden       units of a recurrent layer, in each direction
    layers       recurrent ones
    cell         "gru" (Cho et al. 2014), "lstm" (Hochreiter and Schmidhuber 1997)
    subsampling  frames that become one step of the recurrent layers; a letter needs a step
    dropout      the share of units that a training step leaves out before each recurrent layer and the last one
    """

    channels: tuple[Width, Width] = (32, 32)
    hidden: Width = 128
    layers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    cell: Literal["gru", "lstm"] = "gru"
    subsampling: Literal[2, 4] = 4
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2


def build(config: Crnn, shape: Shape) -> "nn.Module":
    """Raises MissingExtra without torch."""
    from modelyard.nets.crnn_module import CrnnModule

    return CrnnModule(config, shape)


NET: Final = Net(
    name="crnn",
    framework="pytorch",
    tasks=(SPEECH,),
    config=Crnn,
    build=build,
    source=(
        "Graves, Fernandez, Gomez and Schmidhuber 2006, Connectionist temporal classification, sections 3 and 4;"
        " the convolutions ahead as in Amodei et al. 2016, Deep Speech 2, section 3"
    ),
    exporter="trace",
)
