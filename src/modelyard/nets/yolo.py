"""YOLO: one pass over the image in which each place of a few maps says whether an object is there, which and
where."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import Net, Shape

if TYPE_CHECKING:
    from torch import nn


class Yolo(msgspec.Struct, frozen=True, kw_only=True):
    """`width`: channels at half the image's size; `blocks`: residual blocks at each scale; `neck`: channels of the
    maps that answers are made from."""

    width: Annotated[int, msgspec.Meta(ge=4, le=256)] = 16
    blocks: Annotated[int, msgspec.Meta(ge=0, le=16)] = 1
    neck: Annotated[int, msgspec.Meta(ge=8, le=1024)] = 64


def build(config: Yolo, shape: Shape) -> "nn.Module":
    """Any image of 1 pixel or more will do. Raises MissingExtra without torch."""
    from modelyard.nets.detection_layers import channels_last
    from modelyard.nets.yolo_module import YoloModule

    return channels_last(YoloModule(config.width, config.blocks, config.neck, shape))


NET: Final = Net(
    name="yolo",
    framework="pytorch",
    tasks=("object-detection",),
    config=Yolo,
    build=build,
    source=(
        "Redmon, Divvala, Girshick and Farhadi 2016, You Only Look Once: Unified, Real-Time Object Detection;"
        " without anchors as Ge et al. 2021, YOLOX: Exceeding YOLO Series in 2021, section 2.1"
    ),
)
