"""Vision transformer: an image as a row of patches, self-attention over all of them."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.nets.contract import IMAGES, Net, Shape

if TYPE_CHECKING:
    from torch import Tensor, nn


class Vit(msgspec.Struct, frozen=True, kw_only=True):
    """`patch`: pixels of a patch's side; `width`: of its vector, which `heads` share evenly; `layers`: blocks, each
    with `hidden` units in its feed-forward layer; `dropout`: of each block's two additions."""

    patch: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    width: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    heads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    layers: Annotated[int, msgspec.Meta(ge=1, le=48)] = 4
    hidden: Annotated[int, msgspec.Meta(ge=1, le=16_384)] = 128
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


def build(config: Vit, shape: Shape) -> "nn.Module":
    """Any image will do: what lacks of a last patch is the image's mean. Raises MissingExtra without torch,
    InvalidInput where heads do not divide the width."""
    from modelyard.nets.attention import Block
    from modelyard.nets.layers import NormalizedPixels, nn, torch

    if config.width % config.heads:
        raise InvalidInput("net.width is not a multiple of net.heads", came=f"{config.width}, {config.heads}")
    _, height, width, channels = shape.input.shape
    down, right = -height % config.patch, -width % config.patch
    patches = (height + down) // config.patch * ((width + right) // config.patch)

    class VisionTransformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pixels = NormalizedPixels(shape)
            self.patches = nn.Conv2d(channels, config.width, config.patch, config.patch)
            self.asked = nn.Parameter(torch.zeros(1, 1, config.width))  # the class token
            self.places = nn.Parameter(torch.randn(1, 1 + patches, config.width) * 0.02)
            self.blocks = nn.Sequential(
                *(
                    Block(config.width, config.heads, config.hidden, config.dropout)
                    for _ in range(config.layers)
                )
            )
            self.norm = nn.LayerNorm(config.width)
            self.last = nn.Linear(config.width, shape.values)

        def forward(self, image: "Tensor") -> "Tensor":
            pixels = nn.functional.pad(self.pixels(image), (0, right, 0, down))
            found = self.patches(pixels).flatten(2).transpose(1, 2)
            hidden = torch.cat([self.asked.expand(found.shape[0], -1, -1), found], dim=1) + self.places
            logits: Tensor = self.last(self.norm(self.blocks(hidden))[:, 0])
            return logits

    return VisionTransformer()


NET: Final = Net(
    name="vit",
    framework="pytorch",
    tasks=(IMAGES,),
    config=Vit,
    build=build,
    source="Dosovitskiy et al. 2021, An image is worth 16x16 words, section 3.1",
)
