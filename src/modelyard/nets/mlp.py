"""Multilayer perceptron: dense layers with ReLU and dropout."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, NUMBERS, Net, Shape

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, msgspec.Meta(ge=1, le=65_536)]


class Mlp(msgspec.Struct, frozen=True, kw_only=True):
    """`hidden`: units of each hidden layer; `dropout`: the share of them that a training step leaves out."""

    hidden: Annotated[tuple[Width, ...], msgspec.Meta(max_length=32)] = (128, 64)
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1


def build(config: Mlp, shape: Shape) -> "nn.Module":
    """Images are normalised and flattened first. Raises MissingExtra without torch."""
    from modelyard.nets.layers import NormalizedPixels, nn

    layers: list[nn.Module] = [NormalizedPixels(shape), nn.Flatten()] if shape.is_image else []
    width = shape.width
    for units in config.hidden:
        layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(config.dropout)]
        width = units
    layers.append(nn.Linear(width, shape.values))
    if shape.classes is None:
        layers.append(nn.Flatten(0))  # [rows, 1] -> [rows]
    return nn.Sequential(*layers)


NET: Final = Net(
    name="mlp",
    framework="pytorch",
    tasks=(IMAGES, CLASSES, NUMBERS),
    config=Mlp,
    build=build,
    source="Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors",
)
