"""Single Shot MultiBox Detector: boxes of several sizes and shapes at each place of several maps, each told what
it holds and how to move onto it."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import Net, Shape

if TYPE_CHECKING:
    from torch import nn

Scale = Annotated[float, msgspec.Meta(gt=0, le=2)]
Ratio = Annotated[float, msgspec.Meta(gt=0, le=10)]


class Ssd(msgspec.Struct, frozen=True, kw_only=True):
    """
    width   channels at half the image's size
    blocks  residual blocks at each scale
    neck    channels of the layer before each map's answers
    scales  sides of the default boxes of each map, finest first, as shares of the image's sides; the last is for
            the larger square of the coarsest map (section 2.2: its scales and the extra box between two)
    ratios  width by height of the default boxes beside the two squares
    """

    width: Annotated[int, msgspec.Meta(ge=4, le=256)] = 16
    blocks: Annotated[int, msgspec.Meta(ge=0, le=16)] = 1
    neck: Annotated[int, msgspec.Meta(ge=8, le=1024)] = 64
    scales: tuple[Scale, Scale, Scale, Scale] = (0.2, 0.35, 0.6, 0.95)
    ratios: Annotated[tuple[Ratio, ...], msgspec.Meta(max_length=8)] = (2.0, 0.5)


def build(config: Ssd, shape: Shape) -> "nn.Module":
    """Any image of 1 pixel or more will do. Raises MissingExtra without torch."""
    from modelyard.nets.detection_layers import channels_last
    from modelyard.nets.ssd_module import SsdModule

    return channels_last(SsdModule(config, shape))


NET: Final = Net(
    name="ssd",
    framework="pytorch",
    tasks=("object-detection",),
    config=Ssd,
    build=build,
    source="Liu, Anguelov, Erhan, Szegedy, Reed, Fu and Berg 2016, SSD: Single Shot MultiBox Detector, section 2",
)
