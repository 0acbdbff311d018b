"""Changes of images, uint8 [rows, height, width, channels]."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.contract import Array, Examples
from modelyard.types.report import Exhibit, Picture

if TYPE_CHECKING:
    from modelyard.training.job import Job

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Pixels = npt.NDArray[np.uint8]
_ERASED: Final = (0.02, 1 / 3)  # of the image's area, and
_ASPECT: Final = (0.3, 1 / 0.3)  # height by width, as the paper has them
_SHOWN_SIDE: Final = 96  # pixels of an image on the page, at least
_GAP: Final = 4


class Images(msgspec.Struct, frozen=True, kw_only=True, tag_field="name", tag="images"):
    """
    flip    the share of images that are mirrored, left to right
    crop    pixels by which an image is moved at most, each way; the edge's pixels fill what it leaves (after He et
            al. 2016, section 4.2)
    rotate  degrees by which an image is turned at most, each way
    erase   the share of images of which a rectangle becomes noise (Zhong et al. 2020, Random Erasing)
    mixup   alpha of mixup (Zhang et al. 2018, equation 1): images and targets are mixed with those of another row;
            0: not
    """

    flip: Share = 0.0
    crop: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    rotate: Annotated[float, msgspec.Meta(ge=0, le=180)] = 0.0
    erase: Share = 0.0
    mixup: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0


@dataclass(frozen=True, kw_only=True)
class Moves:
    """What was drawn of where pixels go, one a row: mirrored first, then moved down and right by pixels, then
    turned about the middle (degrees, clockwise)."""

    size: tuple[int, int]
    flipped: npt.NDArray[np.bool_]
    down: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    degrees: npt.NDArray[np.float64]


class ImageAugmenter:
    """See `contract.Augmenter`."""

    def __init__(self, given: Images, job: "Job") -> None:
        self._given, self._classes = given, job.shape.classes
        self._labels = job.labels
        self._name = job.shape.input.name
        pixels = job.train.inputs.get(self._name)
        if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 4:
            came = {name: f"{x.dtype} {list(x.shape[1:])}" for name, x in job.train.inputs.items()}
            raise InvalidInput("augmentation of images needs images as the net's first input", came=came)
        _check_targets(given, job)

    def __call__(self, batch: Examples, random: np.random.Generator) -> Examples:
        given = self._given
        pixels: Pixels = batch.inputs[self._name]
        targets = dict(batch.targets)
        if given.flip or given.crop or given.rotate:
            moves = _draw(given, pixels, random)
            pixels = moved(pixels, moves)
            targets |= {name: MOVED[name](value, moves) for name, value in targets.items() if name in MOVED}
        if given.erase:
            pixels = erased(pixels, given.erase, random)
        if given.mixup:
            pixels, targets["target"] = mixed(pixels, self._shares(targets["target"]), given.mixup, random)
        return Examples(inputs={**batch.inputs, self._name: pixels}, targets=targets, ragged=batch.ragged)

    def exhibit(self, rows: Examples, drawn: Sequence[Examples]) -> Exhibit:
        """A strip for each row: the image as it is, then the draws."""
        pixels = [part.inputs[self._name] for part in (rows, *drawn)]
        pictures = [
            Picture(png=_strip([part[row] for part in pixels]), caption=self._caption(rows.targets, row))
            for row in range(len(rows))
        ]
        note = "The first of each strip is the image as it is; the others are how training may see it."
        return Exhibit(title="Augmented training rows", note=note, pictures=tuple(pictures))

    def _shares(self, target: Array) -> Array:
        """Class numbers as shares of each class, float32 [rows, classes]; numbers as they are."""
        if target.dtype != np.int64:
            return target
        return np.eye(self._classes or 1, dtype=np.float32)[target]

    def _caption(self, targets: Mapping[str, Array], row: int) -> str:
        target = targets.get("target")
        if target is None or target.dtype != np.int64 or not self._labels:
            return f"row {row}"
        return str(self._labels[target[row]])


def moved(pixels: Pixels, moves: Moves) -> Pixels:
    """Images after the moves, their edges' pixels where nothing else is."""
    rows, height, width, _ = pixels.shape
    y = np.clip(np.arange(height) - moves.down[:, None], 0, height - 1)
    x = np.clip(np.arange(width) - moves.right[:, None], 0, width - 1)
    x = np.where(moves.flipped[:, None], width - 1 - x, x)
    found: Pixels = pixels[np.arange(rows)[:, None, None], y[:, :, None], x[:, None, :]]
    return _turned(found, moves.degrees) if moves.degrees.any() else found


def erased(pixels: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """Images, a share of them with a rectangle of noise."""
    rows, height, width, channels = pixels.shape
    area = random.uniform(*_ERASED, (rows,)) * height * width
    aspect = np.exp(random.uniform(math.log(_ASPECT[0]), math.log(_ASPECT[1]), (rows,)))
    tall = np.clip(np.rint(np.sqrt(area * aspect)), 1, height)
    wide = np.clip(np.rint(np.sqrt(area / aspect)), 1, width)
    top = np.floor(random.uniform(0, height - tall + 1))
    left = np.floor(random.uniform(0, width - wide + 1))
    tall[random.random(rows) >= share] = 0
    y, x = np.arange(height), np.arange(width)
    inside = (y >= top[:, None]) & (y < (top + tall)[:, None])
    beside = (x >= left[:, None]) & (x < (left + wide)[:, None])
    noise = random.integers(0, 256, (rows, height, width, channels), dtype=np.uint8)
    return np.where((inside[:, :, None] & beside[:, None, :])[..., None], noise, pixels)


def mixed(pixels: Pixels, targets: Array, alpha: float, random: np.random.Generator) -> tuple[Pixels, Array]:
    """Each row with another of the batch; `targets` [rows] or [rows, classes] likewise."""
    other = random.permutation(len(pixels))
    share = random.beta(alpha, alpha, len(pixels))
    both = pixels * _beside(share, pixels) + pixels[other] * (1 - _beside(share, pixels))
    of_targets = _beside(share, targets)
    found = targets * of_targets + targets[other] * (1 - of_targets)
    return np.rint(both).astype(np.uint8), found.astype(targets.dtype)


def moved_boxes(boxes: Array, moves: Moves) -> Array:
    """[rows, most, 4] of xmin, ymin, xmax, ymax in pixels after the moves, cut at the image's edges; of a turned
    box, what holds its corners. A box without area is no object: what lies outside of the image has none."""
    height, width = moves.size
    x: Array = boxes[..., [0, 2, 2, 0]].astype(np.float64)
    y: Array = boxes[..., [1, 1, 3, 3]].astype(np.float64)
    x = np.where(moves.flipped[:, None, None], width - x, x) + moves.right[:, None, None] - width / 2
    y = y + moves.down[:, None, None] - height / 2
    cos, sin = (f(np.radians(moves.degrees))[:, None, None] for f in (np.cos, np.sin))
    x, y = x * cos - y * sin + width / 2, x * sin + y * cos + height / 2
    x, y = np.clip(x, 0, width), np.clip(y, 0, height)
    found = np.stack([x.min(axis=-1), y.min(axis=-1), x.max(axis=-1), y.max(axis=-1)], axis=-1)
    for part in (boxes, found):
        has_area = (part[..., 2:] > part[..., :2]).all(axis=-1, keepdims=True)
        found = np.where(has_area, found, 0)
    return found.astype(boxes.dtype)


def _draw(given: Images, pixels: Pixels, random: np.random.Generator) -> Moves:
    rows, height, width, _ = pixels.shape
    return Moves(
        size=(height, width),
        flipped=random.random((rows,)) < given.flip,
        down=random.integers(-given.crop, given.crop, (rows,), endpoint=True),
        right=random.integers(-given.crop, given.crop, (rows,), endpoint=True),
        degrees=random.uniform(-given.rotate, given.rotate, (rows,)),
    )


def _turned(pixels: Pixels, degrees: npt.NDArray[np.float64]) -> Pixels:
    """Each about its middle, bilinearly."""
    import torch
    from torch.nn import functional

    rows, height, width, _ = pixels.shape
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.zeros(
        (rows, 2, 3), np.float32
    )  # from places in the answer to places in `pixels`, each in -1..1
    matrix[:, 0, 0], matrix[:, 0, 1] = cos, sin * height / width
    matrix[:, 1, 0], matrix[:, 1, 1] = -sin * width / height, cos
    given = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32)
    grid = functional.affine_grid(torch.from_numpy(matrix), list(given.shape), align_corners=False)
    found = functional.grid_sample(given, grid, padding_mode="border", align_corners=False)
    turned: Pixels = found.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return turned


def _beside(share: npt.NDArray[np.float64], values: Array) -> npt.NDArray[np.float32]:
    """A number a row, in the shape that multiplies `values`."""
    return share.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))


MOVED: Final[dict[str, Callable[[Array, Moves], Array]]] = {
    "boxes": moved_boxes,
    "classes": lambda classes, moves: classes,  # of the boxes
}
"""A target's name -> what it is after the moves, as (values [rows, ...], moves) -> values. Another one that has a
place in the image adds its line."""


def _check_targets(given: Images, job: "Job") -> None:
    """What has a place in the image must be known to move along; mixup is for what can be mixed."""
    placed = [name for name, value in job.train.targets.items() if value.ndim > 1 and name not in MOVED]
    if placed and (given.flip or given.crop or given.rotate):
        raise InvalidInput(
            "recipe.training.augmentation would move images and not their targets",
            came=placed,
            allowed=sorted(MOVED) or "erase",
        )
    usual = "target" in job.train.targets and job.task.target_kind in ("class", "number")
    if given.mixup and not usual:
        raise InvalidInput(
            "recipe.training.augmentation.mixup mixes classes or numbers, which this task's targets are not",
            came=job.task.name,
        )


def _strip(images: Sequence[Any]) -> bytes:
    """Images side by side, as PNG."""
    from PIL import Image

    height, width, channels = images[0].shape
    scale = max(1, -(-_SHOWN_SIDE // max(height, width)))
    large = [image.repeat(scale, axis=0).repeat(scale, axis=1) for image in images]
    gap = np.full((height * scale, _GAP, channels), 255, np.uint8)
    parts = [large[0], *(part for image in large[1:] for part in (gap, image))]
    row = np.concatenate(parts, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(row[..., 0] if channels == 1 else row).save(buffer, format="PNG")
    return buffer.getvalue()
