"""What nets that make images share. Imported by `build` functions only: torch is needed."""

import math
from collections.abc import Sequence

from modelyard.nets.contract import Shape
from modelyard.nets.layers import Tensor, nn, torch

functional = nn.functional

__all__ = ["Asked", "Critic", "Upward", "classes_of", "entropy", "initialise", "to_signed", "to_unit"]


def classes_of(shape: Shape) -> int:
    """Labels that images are asked for by; 0 where they are not."""
    asked = any(spec.name == "label" for spec in shape.inputs)
    return len(shape.preprocessing["labels"]) if asked else 0


class Asked(nn.Module):
    """Puts a one-hot label beside the values of a row (Mirza and Osindero 2014, Conditional generative adversarial
    nets, section 3.2); without classes it does nothing."""

    eye: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.width = classes
        self.register_buffer("eye", torch.eye(classes), persistent=False)

    def forward(self, values: Tensor, label: Tensor | None) -> Tensor:
        """[rows, width] and int64 [rows] to [rows, width + classes]."""
        return values if label is None else torch.cat([values, self.eye[label]], dim=1)


class Upward(nn.Module):
    """From values of a row to an image: a dense layer, then two transposed convolutions that each double the sides,
    cut to the image's. `normalize`: batch normalisation before each ReLU."""

    def __init__(
        self, width: int, channels: Sequence[int], image: tuple[int, int, int], *, normalize: bool
    ) -> None:
        super().__init__()
        height, wide, colours = image
        first, second = channels
        self._size = height, wide
        self._start = first, -(-height // 4), -(-wide // 4)
        self.dense = nn.Linear(width, first * self._start[1] * self._start[2])

        def activated(count: int) -> list[nn.Module]:
            return [*([nn.BatchNorm2d(count)] if normalize else []), nn.ReLU()]

        self.up = nn.Sequential(
            *activated(first),
            *(nn.ConvTranspose2d(first, second, 4, stride=2, padding=1), *activated(second)),
            nn.ConvTranspose2d(second, colours, 4, stride=2, padding=1),
        )

    def forward(self, values: Tensor) -> Tensor:
        """[rows, width] to [rows, colours, height, width]."""
        image: Tensor = self.up(self.dense(values).unflatten(1, self._start))
        return image[:, :, : self._size[0], : self._size[1]]


class Critic(nn.Module):
    """Says how real images look: two convolutions that each halve the sides, and a dense layer.

    A label counts by how well features agree with its own (Miyato and Koyama 2018, cGANs with projection
    discriminator, section 3).
    """

    def __init__(
        self, channels: Sequence[int], image: tuple[int, int, int], classes: int, dropout: float
    ) -> None:
        super().__init__()
        height, width, colours = image
        first, second = channels
        flat = second * (height // 4) * (width // 4)
        self.body = nn.Sequential(
            *(nn.Conv2d(colours, first, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(first, second, 4, stride=2, padding=1), nn.BatchNorm2d(second), nn.LeakyReLU(0.2)),
            *(nn.Flatten(), nn.Dropout(dropout)),
        )
        self.last = nn.Linear(flat, 1)
        self.named = nn.Embedding(classes, flat) if classes else None

    def forward(self, image: Tensor, label: Tensor | None) -> Tensor:
        """[rows, colours, height, width] in -1..1 to logits [rows]."""
        features = self.body(image)
        logits: Tensor = self.last(features)[:, 0]
        if self.named is None or label is None:
            return logits
        projected: Tensor = (self.named(label) * features).sum(dim=1)
        return logits + projected / math.sqrt(features.shape[1])


def to_unit(image: Tensor) -> Tensor:
    """uint8 [rows, height, width, colours] to [rows, colours, height, width] in 0..1."""
    return image.permute(0, 3, 1, 2).to(torch.float32) / 255


def to_signed(image: Tensor) -> Tensor:
    """The same in -1..1."""
    return to_unit(image) * 2 - 1


def entropy(logits: Tensor, target: float) -> Tensor:
    """Mean cross entropy in nats of logits [rows] of one probability with one target."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def initialise(layer: nn.Module) -> None:
    """Weights of deviation 0.02 (Radford, Metz and Chintala 2016, section 4)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.Embedding):
        nn.init.zeros_(layer.weight)
