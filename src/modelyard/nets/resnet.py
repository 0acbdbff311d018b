"""Residual network for small images, as the paper's for CIFAR-10: basic blocks in stages, then the map's mean."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import IMAGES, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn

Channels = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_LARGE: Final = 16  # pixels a side above which the first layer halves: it costs a quarter, and little is lost


class Resnet(msgspec.Struct, frozen=True, kw_only=True):
    """`channels`: of each stage's maps, each half as large as the one before; `blocks`: in each stage, of two
    convolutions each; `dropout`: before the last layer."""

    channels: Annotated[tuple[Channels, ...], msgspec.Meta(min_length=1, max_length=6)] = (32, 64, 128)
    blocks: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


def build(config: Resnet, shape: Shape) -> "nn.Module":
    """Any image will do: sides are halved rounded up. Raises MissingExtra without torch."""
    from modelyard.nets.layers import NormalizedPixels, nn

    class Block(nn.Module):
        """Section 3.2, with option B of section 4.1: where shapes differ, the shortcut is a convolution."""

        def __init__(self, given: int, found: int, stride: int) -> None:
            super().__init__()
            self.way = nn.Sequential(
                *_convolved(given, found, 3, stride), nn.ReLU(), *_convolved(found, found, 3, 1)
            )
            same = given == found and stride == 1
            self.shortcut = nn.Identity() if same else nn.Sequential(*_convolved(given, found, 1, stride))

        def forward(self, image: "Tensor") -> "Tensor":
            return nn.functional.relu(self.way(image) + self.shortcut(image))

    def _convolved(given: int, found: int, side: int, stride: int) -> "tuple[nn.Module, ...]":
        convolution = nn.Conv2d(given, found, side, stride, padding=side // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        return convolution, nn.BatchNorm2d(found)

    _, height, width, channels = shape.input.shape
    first = 2 if max(height, width) > _LARGE else 1
    layers: list[nn.Module] = [NormalizedPixels(shape)]
    layers += [*_convolved(channels, config.channels[0], 3, first), nn.ReLU()]
    given = config.channels[0]
    for stage, found in enumerate(config.channels):
        for number in range(config.blocks):
            layers.append(Block(given, found, 2 if stage and not number else 1))
            given = found
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, nn.Linear(given, shape.values))


NET: Final = Net(
    name="resnet",
    framework="pytorch",
    tasks=(IMAGES,),
    config=Resnet,
    build=build,
    source="He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition, sections 3 and 4.2",
)
