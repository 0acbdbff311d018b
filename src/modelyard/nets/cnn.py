"""Convolutional network: three convolutions, two poolings, two dense layers."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import IMAGES, SOUNDS, Net, Shape

if TYPE_CHECKING:
    from torch import nn

Channels = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_LARGEST_SIDE: Final = 8  # of the last feature map; larger images are averaged down to it


class Cnn(msgspec.Struct, frozen=True, kw_only=True):
    """`channels`: of the three convolutions; `hidden`: units of the dense layer; `dropout`: before each
    dense one."""

    channels: tuple[Channels, Channels, Channels] = (32, 64, 64)
    hidden: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 128
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.25


def build(config: Cnn, shape: Shape) -> "nn.Module":
    """Sides are halved twice (rounded up, so that any image or spectrogram will do). Raises MissingExtra without
    torch."""
    from modelyard.nets.layers import NormalizedPixels, NormalizedSpectrogram, nn

    _, height, width, channels = (*shape.input.shape, 1)[:4]
    first, second, third = config.channels
    height, width = -(-height // 4), -(-width // 4)
    step = (-(-height // _LARGEST_SIDE), -(-width // _LARGEST_SIDE))
    flat = third * -(-height // step[0]) * -(-width // step[1])
    layers: list[nn.Module] = [
        NormalizedPixels(shape) if shape.is_image else NormalizedSpectrogram(shape),
        *(nn.Conv2d(channels, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.Conv2d(second, third, 3, padding=1), nn.ReLU()),
        *([nn.AvgPool2d(step, ceil_mode=True, count_include_pad=False)] if max(step) > 1 else []),
        *(nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(flat, config.hidden), nn.ReLU()),
        *(nn.Dropout(config.dropout), nn.Linear(config.hidden, shape.values)),
    ]
    return nn.Sequential(*layers)


NET: Final = Net(
    name="cnn",
    framework="pytorch",
    tasks=(IMAGES, SOUNDS),
    config=Cnn,
    build=build,
    source="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
)
