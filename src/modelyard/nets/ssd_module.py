"""The module of nets/ssd.py."""

import math
from collections.abc import Mapping
from typing import Final

from torch.nn import functional

from modelyard.nets.contract import Shape
from modelyard.nets.detection_layers import (
    STRIDES,
    Backbone,
    classes_of,
    convolution,
    flat,
    iou,
    objects,
    places,
)
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.nets.ssd import Ssd

_MATCHED: Final = 0.5  # IoU from which a default box holds an object (section 2.2, matching strategy)
_NEGATIVES: Final = 3  # for each that does (hard negative mining)
_DEVIATIONS: Final = (0.1, 0.1, 0.2, 0.2)  # of offsets, as in the authors' code: all are learned equally well
_STEEPEST: Final = 6.0  # exponent of a side


class SsdModule(nn.Module):
    """A default box's values: offsets of x, y and logarithms of width, height; logits of no object and of the
    classes."""

    defaults: Tensor
    deviations: Tensor

    def __init__(self, config: Ssd, shape: Shape) -> None:
        super().__init__()
        self.classes = classes_of(shape)
        self.backbone = Backbone(shape, config.width, config.blocks)
        boxes = 2 + len(config.ratios)
        self.neck = nn.ModuleList(convolution(c, config.neck) for c in self.backbone.channels)
        self.where = nn.ModuleList(nn.Conv2d(config.neck, boxes * 4, 3, padding=1) for _ in STRIDES)
        self.what = nn.ModuleList(
            nn.Conv2d(config.neck, boxes * (1 + self.classes), 3, padding=1) for _ in STRIDES
        )
        self.register_buffer("defaults", default_boxes(config, shape), persistent=False)
        self.register_buffer("deviations", torch.tensor(_DEVIATIONS), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets [rows, defaults, 4] in deviations, and logits [rows, defaults, 1 + classes], the first of
        none."""
        maps = [neck(x) for neck, x in zip(self.neck, self.backbone(image), strict=True)]
        where = flat([head(x) for head, x in zip(self.where, maps, strict=True)], 4)
        what = flat([head(x) for head, x in zip(self.what, maps, strict=True)], 1 + self.classes)
        return where, what

    def answer(self, image: Tensor) -> dict[str, Tensor]:
        where, what = self(image)
        offsets = where * self.deviations
        size = self.defaults[:, 2:]
        middle = self.defaults[:, :2] + offsets[..., :2] * size
        half = offsets[..., 2:].clamp(-_STEEPEST, _STEEPEST).exp() * size / 2
        return {
            "boxes": torch.cat([middle - half, middle + half], dim=-1),
            "scores": what.softmax(dim=-1)[..., 1:],
        }

    def loss(
        self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], player: str = ""
    ) -> dict[str, Tensor]:
        """Equations 1 to 3: cross entropy of what a default box holds, and the smooth L1 distance of its offsets
        where it holds an object, over the number of those."""
        where, what = self(inputs["image"])
        boxes, classes, real = objects(targets)
        owner, has = self._owners(boxes, real)
        count = has.sum().clamp(min=1)
        wanted = self._offsets(boxes.gather(1, owner[..., None].expand(-1, -1, 4)))
        place = functional.smooth_l1_loss(where[has], wanted[has], reduction="sum") / count
        holds = torch.where(has, 1 + classes.gather(1, owner), 0)
        each = functional.cross_entropy(what.transpose(1, 2), holds, reduction="none")
        kind = each[has | hardest(each.detach(), has)].sum() / count
        return {"loss": place + kind, "box": place.detach(), "class": kind.detach()}

    def _offsets(self, boxes: Tensor) -> Tensor:
        """Of each default box to its box in `boxes` [rows, defaults, 4], in deviations."""
        middle, size = self.defaults[:, :2], self.defaults[:, 2:]
        sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
        away = ((boxes[..., :2] + boxes[..., 2:]) / 2 - middle) / size
        return torch.cat([away, (sides / size).log()], dim=-1) / self.deviations

    def _owners(self, boxes: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """For each default box the object that it holds [rows, defaults], and whether it holds one: the one that it
        shares most with, if that is enough; and each object is held by the default box that shares most with it."""
        middle, half = self.defaults[:, :2], self.defaults[:, 2:] / 2
        default = torch.cat([middle - half, middle + half], dim=-1)
        found = iou(default[:, None], boxes[:, None]).where(real[:, None], -1.0)
        most, owner = found.max(dim=-1)
        number = torch.arange(len(default), device=boxes.device)[:, None]
        nearest = (found.argmax(dim=1)[:, None] == number) & real[:, None]  # [rows, defaults, objects]
        is_nearest = nearest.any(dim=-1)
        owner = torch.where(is_nearest, nearest.to(torch.int64).argmax(dim=-1), owner)
        return owner, is_nearest | (most >= _MATCHED)


def hardest(losses: Tensor, has: Tensor) -> Tensor:
    """Hard negative mining: of the default boxes that hold nothing those with the largest losses, _NEGATIVES for
    each of the image's that do and as many as for one where none does. Both [rows, defaults]."""
    order = losses.masked_fill(has, -1.0).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1, stable=True)
    return (rank < _NEGATIVES * has.sum(dim=1, keepdim=True).clamp(min=1)) & ~has


def default_boxes(config: Ssd, shape: Shape) -> Tensor:
    """x, y of the middle, width and height in pixels, float32 [defaults, 4] in the order of the answers."""
    height, width = shape.input.shape[1:3]
    found = []
    for k, middles in enumerate(places(shape)):
        scale, larger = config.scales[k], math.sqrt(config.scales[k] * config.scales[k + 1])
        shares = [(scale, scale), (larger, larger)]
        shares += [(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for ratio in config.ratios]
        sides = torch.tensor([(w * width, h * height) for w, h in shares])
        count = len(shares)
        found.append(
            torch.cat([middles.repeat_interleave(count, dim=0), sides.repeat(len(middles), 1)], dim=1)
        )
    return torch.cat(found)
