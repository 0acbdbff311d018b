"""Image classification: one image in, a probability for each class out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import images
from modelyard.tasks.answers import check_class_target
from modelyard.tasks.class_task import ClassTask
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema
from modelyard.types.tensor import Signature, TensorSpec

_SAMPLED: Final = 10_000  # images that sizes, mean and deviation are taken from, evenly spaced
_LONGER_SIDE: Final = 64
_TRAINING: Final[dict[str, Any]] = {
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "schedule": {"name": "cosine", "warmup": 0.05},
    "batch_size": 128,
    "weight_decay": 0.01,
}
_OF_NETS: Final[dict[str, dict[str, Any]]] = {
    "cnn": {},
    "mlp": {},
    "resnet": {"weight_decay": 0.05, "schedule": {"name": "cosine", "warmup": 0.1}},
    "vit": {
        "learning_rate": 0.001,
        "weight_decay": 0.05,
        "schedule": {"name": "cosine", "warmup": 0.1},
        "clip_norm": 1.0,
    },
    "efficientnet_lite": {"epochs": 10},
}
"""Net -> what its recipe's `training` says otherwise."""


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for images.

    size  [height, width] in pixels; None: the training images' median, its longer side at most 64
    mode  "L" (grey), "RGB", or "auto": "L" where all training images are grey
    """

    size: tuple[int, int] | None = None
    mode: Literal["auto", "L", "RGB"] = "auto"


class PreparedImages:
    """Encoded images, or pixels of the fitted size, into uint8 [rows, height, width, channels]."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self._column = str(preprocessing["column"])
        self._mode = str(preprocessing["mode"])
        height, width = preprocessing["size"]
        self._size = (int(height), int(width))
        self._shape = (*self._size, 1 if self._mode == "L" else 3)

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "image" (or the data set's column): a list of encoded images, or uint8 pixels."""
        if len(columns) != 1 or not (columns.keys() <= {self._column, "image"}):
            raise InvalidInput("one column of images is needed", came=sorted(columns), allowed=["image"])
        (values,) = columns.values()
        if isinstance(values, np.ndarray) and values.dtype != object:
            return {"image": self._checked(values)}
        values = list(values)
        if not values:
            raise InvalidInput("there is no image", allowed="1 or more")
        return {"image": images.decode_all(values, self._mode, self._size)}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The pixels as they came: nets normalise in their first layer."""
        if arrays.keys() != {"image"}:
            raise InvalidInput("one input is needed", came=sorted(arrays), allowed=["image"])
        return {"image": self._checked(arrays["image"])}

    def _checked(self, pixels: Array) -> Array:
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self._shape or not len(pixels):
            raise InvalidInput(
                "the pixels have a wrong shape or type",
                came=f"{pixels.dtype} {list(pixels.shape)}",
                allowed=f"uint8 {['rows', *self._shape]}",
            )
        return np.ascontiguousarray(pixels)


class ImageClassification(ClassTask):
    """See `contract.Task`."""

    name = "image-classification"
    default_net = "cnn"
    augmentation = "images"
    options = ImageOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        found = [c.name for c in schema.columns if c.kind == "image" and c.name != target]
        there = [f"{c.name} ({c.kind})" for c in schema.columns]
        if len(found) != 1:
            raise InvalidInput(f"{self.name} needs exactly one image column", came=there)
        check_class_target(schema, target, self.name)
        return found

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = resolve(ImageOptions, options, "preprocessing")
        (column,) = columns
        sample = _evenly(list(columns[column]))
        headers = [images.header(data) for data in sample]
        mode = given.mode
        if mode == "auto":
            mode = "L" if all(m == "L" for _, _, m in headers) else "RGB"
        size = _checked_size(given.size) if given.size else _median_size(headers)
        pixels = images.decode_all(sample, mode, size)
        mean, std = _moments(pixels)
        return {"column": column, "mode": mode, "size": list(size), "mean": mean, "std": std}

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [preprocessing["column"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        height, width = preprocessing["size"]
        shape = (-1, height, width, 1 if preprocessing["mode"] == "L" else 3)
        return Signature(
            inputs=(TensorSpec(name="image", datatype="UINT8", shape=shape),),
            outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, len(labels))),),
        )

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return self.signature(preprocessing, labels)

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedImages:
        return PreparedImages(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        """Raw bytes of an image, base64 text (or a list of either), or {"image": ...}."""
        if isinstance(inputs, Mapping) and inputs.keys() == {"image"}:
            inputs = inputs["image"]
        several = inputs if isinstance(inputs, list) else [inputs]
        if not all(isinstance(one, str | bytes) for one in several):
            raise InvalidInput(
                "inputs are not images",
                came=type(inputs).__name__,
                allowed="bytes, base64 text, or a list of it",
            )
        return {"image": [one if isinstance(one, bytes) else images.from_base64(one) for one in several]}

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {**_TRAINING, **_OF_NETS[net]} if net in _OF_NETS else {}
        return {"preprocessing": {}, "training": training, "evaluation": {}}


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if not all(1 <= side <= 1024 for side in size):
        raise InvalidInput(
            "preprocessing.size is out of range", came=list(size), allowed="1 to 1024 pixels a side"
        )
    return size


def _median_size(headers: list[tuple[int, int, str]]) -> tuple[int, int]:
    height = float(np.median([h for _, h, _ in headers]))
    width = float(np.median([w for w, _, _ in headers]))
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _moments(pixels: images.Pixels) -> tuple[list[float], list[float]]:
    """Mean and deviation a channel, in steps of 0..255; a deviation of 0 becomes 1."""
    counts = [np.bincount(pixels[..., c].ravel(), minlength=256) for c in range(pixels.shape[-1])]
    steps = np.arange(256)
    means = [float(n @ steps / n.sum()) for n in counts]
    stds = [float(np.sqrt(n @ (steps - m) ** 2 / n.sum())) for n, m in zip(counts, means, strict=True)]
    return means, [s if s > 0 else 1.0 for s in stds]


def _evenly(values: list[Any]) -> list[Any]:
    if any(value is None for value in values):
        missing = sum(value is None for value in values)
        raise InvalidInput("the image column has missing values", came=f"{missing} of {len(values)} rows")
    if not values:
        raise InvalidInput("the training split has no rows")
    picked = np.linspace(0, len(values) - 1, min(len(values), _SAMPLED)).astype(np.int64)
    return [values[k] for k in picked]


TASK = ImageClassification()
