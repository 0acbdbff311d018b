"""What detectors share: maps of an image at several scales, their places, and boxes. Imported by `build` functions
only: torch is needed."""

from collections.abc import Mapping, Sequence

from modelyard.nets.contract import Shape
from modelyard.nets.layers import NormalizedPixels, Tensor, nn, torch

STRIDES = (8, 16, 32)
"""Pixels of the image for one place of each map."""


def channels_last(module: nn.Module) -> nn.Module:
    """The module with its weights laid out as images come, which makes it a sixth faster on CPUs."""
    found: nn.Module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return found


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU. A side becomes 1/stride of itself, rounded up."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside the identity (He et al. 2016, Deep Residual Learning, figure 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = (x + self.second(self.first(x))).relu()
        return found


class Backbone(nn.Module):
    """uint8 [rows, height, width, channels] to maps [rows, `channels[k]`, height / STRIDES[k], width / STRIDES[k]]:
    `width` channels at half the image's size, twice as many at each half of that, up to eight times."""

    def __init__(self, shape: Shape, width: int, blocks: int) -> None:
        super().__init__()
        self.channels = (4 * width, 8 * width, 8 * width)
        self.pixels = NormalizedPixels(shape)
        self.stem = nn.Sequential(
            convolution(shape.input.shape[-1], width, stride=2), _stage(width, 2 * width, blocks)
        )
        before = (2 * width, *self.channels)
        self.stages = nn.ModuleList(
            _stage(inputs, outputs, blocks) for inputs, outputs in zip(before, self.channels, strict=False)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(self.pixels(image))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs, stride=2), *(Residual(outputs) for _ in range(blocks)))


def classes_of(shape: Shape) -> int:
    """How many the boxes can be of."""
    return next(spec.shape[-1] for spec in shape.outputs if spec.name == "scores")


def places(shape: Shape) -> list[Tensor]:
    """The middles x, y of each map's places in pixels of the image, float32 [places, 2], row by row."""
    found = []
    for stride in STRIDES:
        height, width = (-(-side // stride) for side in shape.input.shape[1:3])
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        found.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
    return found


def flat(maps: Sequence[Tensor], values: int) -> Tensor:
    """Maps [rows, n * values, height, width] as [rows, places, values], place by place and the n of each
    together."""
    rows = [x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values) for x in maps]
    return torch.cat(rows, dim=1)


def objects(targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """A batch's true boxes [rows, most, 4], their classes (0 where there is none) and which are objects, [rows,
    most]: a box without area is none, as one that augmentation moved out of the image."""
    boxes, classes = targets["boxes"], targets["classes"]
    real = (classes >= 0) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    return boxes, classes.clamp(min=0), real


def area(boxes: Tensor) -> Tensor:
    """[..., 4] to [...]."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def shared(one: Tensor, other: Tensor) -> Tensor:
    """The area of the intersection; both [..., 4], broadcast."""
    left_top = torch.maximum(one[..., :2], other[..., :2])
    right_bottom = torch.minimum(one[..., 2:], other[..., 2:])
    return (right_bottom - left_top).clamp(min=0).prod(dim=-1)


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union, of 0 to 1; both [..., 4], broadcast."""
    both = shared(one, other)
    return both / (area(one) + area(other) - both).clamp(min=1e-6)


def generalized_iou(one: Tensor, other: Tensor) -> Tensor:
    """IoU less the share of the smallest box around both that neither fills, of -1 to 1 (Rezatofighi et al. 2019,
    Generalized Intersection over Union, algorithm 1)."""
    both = shared(one, other)
    union = (area(one) + area(other) - both).clamp(min=1e-6)
    around = torch.cat(
        [torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:])], dim=-1
    )
    hull = area(around).clamp(min=1e-6)
    return both / union - (hull - union) / hull
