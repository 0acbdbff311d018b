"""The module of nets/yolo.py."""

from collections.abc import Mapping
from typing import Final

from torch.nn import functional

from modelyard.nets.contract import Shape
from modelyard.nets.detection_layers import (
    STRIDES,
    Backbone,
    area,
    classes_of,
    convolution,
    flat,
    generalized_iou,
    iou,
    objects,
    places,
)
from modelyard.nets.layers import Tensor, nn, torch

_NEAR: Final = 1.5
"""Strides from an object's middle within which places answer for it: 3 x 3 of them (YOLOX, "multi positives")."""
_LARGE: Final = 6.0
"""Strides of an object's longer side from which the next coarser map has it."""
_USUAL: Final = 3.0  # strides of a side that a place's exponent of 0 means
_STEEPEST: Final = 6.0  # exponent of a side
_BOX_WEIGHT: Final = 2.0
_RARE: Final = -4.6  # logit of 0.01: that most places have no object is known before training


class YoloModule(nn.Module):
    """A place's values: x, y (of its stride, from its middle), logarithms of width and height, the logit of an
    object, logits of the classes."""

    middles: Tensor
    strides: Tensor

    def __init__(self, width: int, blocks: int, neck: int, shape: Shape) -> None:
        super().__init__()
        self.classes = classes_of(shape)
        self.backbone = Backbone(shape, width, blocks)
        self.lateral = nn.ModuleList(nn.Conv2d(c, neck, 1) for c in self.backbone.channels)
        self.smooth = nn.ModuleList(convolution(neck, neck) for _ in STRIDES)
        # Decoupled heads: what it is and where it is are told by layers of their own (YOLOX, section 2.1).
        self.what = nn.ModuleList(_head(neck, self.classes) for _ in STRIDES)
        self.where = nn.ModuleList(_head(neck, 5, logit=_RARE) for _ in STRIDES)
        middles = places(shape)
        self.register_buffer("middles", torch.cat(middles), persistent=False)
        self.register_buffer(
            "strides",
            torch.cat([torch.full((len(m),), float(s)) for m, s in zip(middles, STRIDES, strict=True)]),
            persistent=False,
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes [rows, places, 4] in pixels, logits of an object [rows, places], logits [rows, places, classes]."""
        maps = self._maps(image)
        where = flat([head(x) for head, x in zip(self.where, maps, strict=True)], 5)
        what = flat([head(x) for head, x in zip(self.what, maps, strict=True)], self.classes)
        stride = self.strides[:, None]
        middle = self.middles + where[..., :2] * stride
        half = where[..., 2:4].clamp(-_STEEPEST, _STEEPEST).exp() * stride * (_USUAL / 2)
        return torch.cat([middle - half, middle + half], dim=-1), where[..., 4], what

    def answer(self, image: Tensor) -> dict[str, Tensor]:
        """A class's score is the probability of an object times that of the class (YOLO, equation 1)."""
        boxes, found, what = self(image)
        return {"boxes": boxes, "scores": found.sigmoid()[..., None] * what.softmax(dim=-1)}

    def loss(
        self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
    ) -> dict[str, Tensor]:
        """Where an object is: 1 - GIoU and cross entropy of the class, a mean over the places that answer for one.
        Whether one is there: binary cross entropy with the IoU of the place's box as its target, as YOLO defines
        confidence, so that of two boxes the better one is the surer."""
        boxes, found, what = self(inputs["image"])
        true_boxes, true_classes, real = objects(targets)
        owner, has = self._owners(true_boxes, real)
        wanted = true_boxes.gather(1, owner[..., None].expand(-1, -1, 4))
        count = has.sum().clamp(min=1)
        confidence = torch.where(has, iou(boxes, wanted).detach(), 0.0)
        exists = functional.binary_cross_entropy_with_logits(found, confidence, reduction="sum") / count
        where = (1 - generalized_iou(boxes, wanted))[has].sum() / count
        classes = true_classes.gather(1, owner)[has]
        kind = functional.cross_entropy(what[has], classes, reduction="sum") / count
        return {
            "loss": _BOX_WEIGHT * where + exists + kind,
            "box": where.detach(),
            "object": exists.detach(),
            "class": kind.detach(),
        }

    def _maps(self, image: Tensor) -> list[Tensor]:
        """A feature pyramid (Lin et al. 2017, Feature Pyramid Networks, section 3): finer maps know what coarser
        see."""
        maps = [lateral(x) for lateral, x in zip(self.lateral, self.backbone(image), strict=True)]
        for k in range(len(maps) - 2, -1, -1):
            maps[k] = maps[k] + functional.interpolate(maps[k + 1], size=maps[k].shape[2:], mode="nearest")
        return [smooth(x) for smooth, x in zip(self.smooth, maps, strict=True)]

    def _owners(self, boxes: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """For each place the object that it answers for (of several the smallest) [rows, places], and whether
        there is one. Places answer where they are near its middle, on the map of its size."""
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        away = (self.middles[:, None] - middle[:, None]).abs().amax(dim=-1)  # [rows, places, objects]
        longer = (boxes[..., 2:] - boxes[..., :2]).amax(dim=-1)
        limits = torch.tensor(STRIDES[:-1], device=boxes.device) * _LARGE
        level = torch.tensor(STRIDES, device=boxes.device)[torch.bucketize(longer, limits)]
        answers = (away < _NEAR * self.strides[:, None]) & (level[:, None] == self.strides[:, None])
        size = area(boxes)[:, None].where(answers & real[:, None], torch.inf)
        smallest, owner = size.min(dim=-1)
        return owner, smallest.isfinite()


def _head(channels: int, values: int, logit: float = 0.0) -> nn.Sequential:
    """`logit` is what the last value begins with."""
    last = nn.Conv2d(channels, values, 1)
    with torch.no_grad():
        last.bias[-1] = logit  # type: ignore[index]
    return nn.Sequential(convolution(channels, channels), last)
