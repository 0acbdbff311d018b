"""2,000 photographs with items of clothing pasted on them, each with its exact box, to train detectors on.

    apt-get install dataset-fashion-mnist && pip install scikit-image scikit-learn
    python examples/data/scenes.py scenes
    yard data add scenes scenes

Writes scenes/train, scenes/validation and scenes/test: images with a metadata.jsonl each, whose rows are
{"file_name": ..., "objects": {"bbox": [[x, y, width, height], ...], "categories": ["Coat", ...]}} in pixels, the
form of Hugging Face's image folders. The items are Fashion-MNIST's (Xiao, Rasul and Vollgraf 2017), scaled,
turned, tinted and partly overlapping; the photographs those that scikit-image and scikit-learn bring along. No
item is in two scenes, and no part of a photograph in two splits.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import binary_fill_holes

ITEMS = Path("/usr/share/datasets/fashion-mnist")
NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
PHOTOGRAPHS = {
    "skimage": ("astronaut.png", "brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png",
                "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg"),
    "sklearn": ("china.jpg", "flower.jpg"),
}  # fmt: skip
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
SPLITS = {"train": 1600, "validation": 150, "test": 250}
PARTS = {"train": (0.0, 0.6), "validation": (0.6, 0.75), "test": (0.75, 1.0)}  # of a photograph's longer side
SIZES = ((224, 224), (208, 240), (240, 208), (192, 256), (256, 192))  # height, width of a scene
LEAST, MOST = 48, 92  # pixels of an item's square
COVERED = 0.2  # of the smaller of two boxes, at most
TURNED = 12.0  # degrees, at most

Array = np.ndarray[Any, Any]


class Item(NamedTuple):
    """Colours [height, width, 3] and opacity [height, width] of 0 to 1, cut to what is seen of it."""

    colours: Array
    opacity: Array
    name: str


def idx(path: Path) -> Array:
    """uint8 of a gzipped idx file (LeCun's MNIST page describes the form)."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", data[3], 4).astype(int)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def items(split: str, random: np.random.Generator) -> Iterator[tuple[Array, str]]:
    """Items in a random order. The test split has Fashion-MNIST's own test items, the others halves of the rest."""
    part = "t10k" if split == "test" else "train"
    pictures, labels = (
        idx(ITEMS / f"{part}-images-idx3-ubyte.gz"),
        idx(ITEMS / f"{part}-labels-idx1-ubyte.gz"),
    )
    numbers = {"train": np.arange(50_000), "validation": np.arange(50_000, 60_000), "test": np.arange(10_000)}
    for k in random.permutation(numbers[split]):
        yield pictures[k], NAMES[labels[k]]


def photographs(split: str) -> list[Array]:
    """The split's part of each, uint8 [height, width, 3]."""
    found = []
    for library, names in PHOTOGRAPHS.items():
        spec = find_spec(library)
        if spec is None or spec.origin is None:
            raise SystemExit("pip install scikit-image scikit-learn")
        for name in names:
            pixels = np.asarray(Image.open(Path(spec.origin).parent / FOLDERS[library] / name).convert("RGB"))
            axis = int(np.argmax(pixels.shape[:2]))
            start, end = (round(share * pixels.shape[axis]) for share in PARTS[split])
            found.append(pixels[start:end] if axis == 0 else pixels[:, start:end])
    return found


def background(photograph: Array, size: tuple[int, int], random: np.random.Generator) -> Array:
    """A random part of a photograph at a random scale, as float [height, width, 3] of 0 to 1."""
    height, width = size
    largest = min(photograph.shape[0] / height, photograph.shape[1] / width)
    scale = min(largest, random.uniform(0.5, 1.6))
    cut_height, cut_width = max(1, int(height * scale)), max(1, int(width * scale))
    top = random.integers(photograph.shape[0] - cut_height + 1)
    left = random.integers(photograph.shape[1] - cut_width + 1)
    cut = Image.fromarray(photograph[top : top + cut_height, left : left + cut_width])
    found = np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR)) / 255
    return found[:, ::-1] if random.random() < 0.5 else found


def item(picture: Array, name: str, random: np.random.Generator) -> Item:
    """A picture of an item on black, scaled, turned and tinted."""
    side = round(np.exp(random.uniform(np.log(LEAST), np.log(MOST))))
    angle = random.uniform(-TURNED, TURNED)
    mask = binary_fill_holes(picture > 12).astype(np.uint8) * 255
    shades, opacity = (
        np.asarray(
            Image.fromarray(layer)
            .resize((side, side), Image.Resampling.BICUBIC)
            .rotate(angle, Image.Resampling.BICUBIC, expand=True)
        )
        / 255
        for layer in (picture, mask)
    )
    tint = np.ones(3) if random.random() < 0.3 else random.uniform(0.4, 1.0, 3)
    rows, columns = np.flatnonzero((opacity > 0.5).any(1)), np.flatnonzero((opacity > 0.5).any(0))
    seen = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Item((shades[..., None] * tint)[seen], opacity[seen], name)


def place(
    size: tuple[int, int], boxes: list[list[int]], scene: tuple[int, int], random: np.random.Generator
) -> list[int] | None:
    """x, y, width, height of a box of this height and width that hides little of the others and is little
    hidden."""
    height, width = size
    if height > scene[0] or width > scene[1]:
        return None
    for _ in range(40):
        y, x = int(random.integers(scene[0] - height + 1)), int(random.integers(scene[1] - width + 1))
        if all(shared([x, y, width, height], box) <= COVERED for box in boxes):
            return [x, y, width, height]
    return None


def shared(one: list[int], other: list[int]) -> float:
    """The intersection of two boxes, as a part of the smaller."""
    sides = [
        max(0, min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k])) for k in (0, 1)
    ]
    return sides[0] * sides[1] / min(one[2] * one[3], other[2] * other[3])


def scene(
    photograph: Array, given: Iterator[tuple[Array, str]], random: np.random.Generator
) -> tuple[Image.Image, dict[str, Any]]:
    """A photograph with five to ten items (fewer where there is no room), and their boxes and names."""
    size = SIZES[random.integers(len(SIZES))]
    pixels = background(photograph, size, random).copy()
    boxes: list[list[int]] = []
    names: list[str] = []
    for _ in range(random.integers(5, 11)):
        one = item(*next(given), random)
        box = place(one.opacity.shape[:2], boxes, size, random)
        if box is None:
            continue
        x, y, width, height = box
        under = pixels[y : y + height, x : x + width]
        opacity = one.opacity[..., None]
        pixels[y : y + height, x : x + width] = under * (1 - opacity) + one.colours * opacity
        boxes.append(box)
        names.append(one.name)
    shown = Image.fromarray(np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8))
    return shown, {"bbox": boxes, "categories": names}


def write(folder: Path, split: str, scenes: int, seed: int = 0) -> int:
    """`scenes` of a split into folder/split; how many items are on them."""
    random = np.random.default_rng([seed, *split.encode()])
    given, grounds = items(split, random), photographs(split)
    out = folder / split
    out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    count = 0
    for k in range(scenes):
        shown, objects = scene(grounds[random.integers(len(grounds))], given, random)
        shown.save(out / f"{k:05}.jpg", quality=92)
        lines.append(json.dumps({"file_name": f"{k:05}.jpg", "objects": objects}))
        count += len(objects["bbox"])
    (out / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return count


def main(target: str) -> None:
    for split, scenes in SPLITS.items():
        print(f"{split}: {scenes:,} scenes, {write(Path(target), split, scenes):,} items")


if __name__ == "__main__":
    main(*sys.argv[1:])
