"""Multilayer perceptron: dense layers with ReLU and dropout."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.nets.contract import CLASSES, IMAGES, NUMBERS, Net, Shape
from modelyard.tasks.tables import category_widths

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, msgspec.Meta(ge=1, le=65_536)]


class Mlp(msgspec.Struct, frozen=True, kw_only=True):
    """`hidden`: units of each hidden layer; `dropout`: the share of them that a training step leaves out;
    `embedding`: how many numbers at most a table's category is turned into; 0: each has weights of its own."""

    hidden: Annotated[tuple[Width, ...], msgspec.Meta(max_length=32)] = (128, 64)
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    embedding: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0


def build(config: Mlp, shape: Shape) -> "nn.Module":
    """Images are normalised and flattened first. Raises MissingExtra without torch."""
    from modelyard.nets.layers import NormalizedPixels, nn

    layers: list[nn.Module] = [NormalizedPixels(shape), nn.Flatten()] if shape.is_image else []
    width = shape.width
    widths = [] if shape.is_image or not config.embedding else category_widths(shape.preprocessing)
    if widths:
        from modelyard.nets.embeddings import Embeddings

        first = Embeddings(width - sum(widths), widths, config.embedding)
        layers.append(first)
        width = first.width
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
    source="Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors; embeddings:"
    " Guo and Berkhahn 2016, Entity embeddings of categorical variables",
)
