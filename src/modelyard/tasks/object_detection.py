"""Object detection: an image in, boxes with classes and scores out.

Engines answer for every place of their maps; the `complete` step keeps the surest boxes (non-maximum suppression)
and gives them in pixels of the caller's image, whose size travels beside its pixels as the input `size`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import average_precision, detection_metrics, images, objects
from modelyard.tasks.base import BaseTask
from modelyard.tasks.boxes import suppress
from modelyard.tasks.contract import Array, Columns, Examples, Predict, TargetKind
from modelyard.tasks.detection_pictures import pictures
from modelyard.tasks.image_classification import TASK as IMAGES
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics
from modelyard.types.tensor import Signature, TensorSpec

IMAGE: Final = "image"
SIZE: Final = "size"
_LONGER_SIDE: Final = 128
_STEP: Final = 32  # what sides are a multiple of: the coarsest map's cells are whole
_SAMPLED: Final = 1000  # images whose sizes are looked at
_LARGEST: Final = 1_000_000  # pixels of a side that boxes can be told in


class DetectionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for detection.

    size        [height, width] in pixels that images are resized to; None: in proportion to the training images'
                median, the longer side at most 128, both multiples of 32
    mode        "L" (grey), "RGB", or "auto": "L" where all training images are grey
    detections  boxes of one image, at most
    score       less sure boxes are none, whatever a caller asks
    overlap     of two boxes of one class that share more than this (their IoU), the surer one stays
    """

    size: tuple[int, int] | None = None
    mode: Literal["auto", "L", "RGB"] = "auto"
    detections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    score: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.01
    overlap: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5


class DetectionParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask: boxes that are at least this sure."""

    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class PreparedDetection:
    """A `contract.Completing`. `column` is the data set's column of images."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self._images = IMAGES.prepare(preprocessing)
        height, width = preprocessing["size"]
        self.column = str(preprocessing["column"])
        self.size = (int(height), int(width))
        self._most, self._least = int(preprocessing["detections"]), float(preprocessing["score"])
        self._overlap = float(preprocessing["overlap"])

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "image" (or the data set's column): encoded images, or uint8 pixels of the fitted size."""
        arrays = self._images.decode(columns)
        (values,) = columns.values()
        if isinstance(values, np.ndarray) and values.dtype != object:
            sizes = [self.size] * len(values)
        else:
            sizes = [(height, width) for width, height, _ in map(images.header, values)]
        return {**arrays, SIZE: np.array(sizes, np.int64)}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The pixels as they came: nets normalise in their first layer."""
        if arrays.keys() != {IMAGE, SIZE}:
            raise InvalidInput("two inputs are needed", came=sorted(arrays), allowed=[IMAGE, SIZE])
        size = arrays[SIZE]
        if size.shape != (len(arrays[IMAGE]), 2) or not ((size >= 1) & (size <= _LARGEST)).all():
            raise InvalidInput(
                f"{SIZE} is not the height and width of each image",
                came=f"{list(size.shape)}: {size[:3].tolist()}",
                allowed=f"[rows, 2] of 1 to {_LARGEST:,} pixels",
            )
        return self._images.transform({IMAGE: arrays[IMAGE]})

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """`boxes` [rows, places, 4] in pixels of the model's input and `scores` [rows, places, classes] into the
        surest detections, their boxes in pixels of the callers' images and inside of them."""
        if not all(np.isfinite(outputs[name]).all() for name in ("boxes", "scores")):
            raise InvalidInput("the model has no finite answer to this image")
        rows = [
            suppress(b, s, most=self._most, least=self._least, overlap=self._overlap)
            for b, s in zip(outputs["boxes"], outputs["scores"], strict=True)
        ]
        boxes, scores, classes = (np.stack(part) for part in zip(*rows, strict=True))
        scale = self._scale(arrays[SIZE])
        edges = arrays[SIZE][:, None, [1, 0, 1, 0]]
        inside = np.clip(boxes * scale[:, None], 0, edges).astype(np.float32)
        return {"boxes": inside, "scores": scores, "classes": classes}

    def scaled(self, truths: Array, size: Array) -> Iterator[objects.Truth]:
        """Truths in pixels of images of these sizes [rows, 2] as truths in pixels of the model's input."""
        for truth, scale in zip(truths, self._scale(size), strict=True):
            yield objects.Truth(truth.boxes / scale, truth.classes)

    def _scale(self, size: Array) -> npt.NDArray[np.float64]:
        """Pixels of each image for one of the model's input, [rows, 4] of x, y, x, y."""
        scale: npt.NDArray[np.float64] = (size / np.array(self.size))[:, [1, 0, 1, 0]]
        return scale


class ObjectDetection(BaseTask):
    """See `contract.Task`."""

    name = "object-detection"
    main_metric = "map_50"
    default_net = "yolo"
    target_kind: TargetKind = "other"
    augmentation = "images"
    options: type[Any] = DetectionOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        there = [f"{c.name} ({c.kind})" for c in schema.columns]
        found = [c.name for c in schema.columns if c.kind == "image"]
        if len(found) != 1:
            raise InvalidInput(f"{self.name} needs exactly one image column", came=there)
        column = schema.column(target)
        if column is None:
            raise InvalidInput("there is no such target column", came=target, allowed=there)
        if column.kind not in ("text", "category"):
            raise InvalidInput(
                f"{self.name} needs a target of objects",
                came=f"{target} ({column.kind})",
                allowed=objects.FORM,
            )
        return found

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = resolve(DetectionOptions, options, "preprocessing")
        (column,) = columns.keys() - {schema.label}
        values = list(columns[column])
        size = given.size or _size(values[:: max(1, len(values) // _SAMPLED)])
        fitted = IMAGES.fit({column: values}, schema, {"size": size, "mode": given.mode})
        return {
            **fitted,
            "detections": given.detections,
            "score": given.score,
            "overlap": given.overlap,
        }

    def class_names(self, target: Any) -> Sequence[str]:
        return objects.class_names(target)

    def examples(self, prepared: Any, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """Targets: `boxes` FP32 [rows, most, 4] of xmin, ymin, xmax, ymax in pixels of the model's input, `classes`
        INT64 [rows, most]. A box without area is no object (its class is -1): it fills up the row."""
        arrays = prepared.decode(columns)
        truths = list(prepared.scaled(self.targets(target, labels), arrays[SIZE]))
        boxes, classes = objects.padded(truths)
        return Examples(
            inputs=prepared.transform(arrays),
            targets={"boxes": boxes.astype(np.float32), "classes": classes},
        )

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [preprocessing["column"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`image` UINT8 [-1, height, width, channels] and `size` INT64 [-1, 2], height and width of the image that
        boxes are to be told in, to `boxes` FP32 [-1, K, 4], `scores` FP32 [-1, K] falling and `classes` INT64 [-1,
        K], -1 where there are fewer than K."""
        most = int(preprocessing["detections"])
        return Signature(
            inputs=(_image(preprocessing), TensorSpec(name=SIZE, datatype="INT64", shape=(-1, 2))),
            outputs=(
                TensorSpec(name="boxes", datatype="FP32", shape=(-1, most, 4)),
                TensorSpec(name="scores", datatype="FP32", shape=(-1, most)),
                TensorSpec(name="classes", datatype="INT64", shape=(-1, most)),
            ),
        )

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`image` to `boxes` FP32 [-1, places, 4] of xmin, ymin, xmax, ymax in its pixels, and `scores` FP32 [-1,
        places, classes] of 0 to 1."""
        return Signature(
            inputs=(_image(preprocessing),),
            outputs=(
                TensorSpec(name="boxes", datatype="FP32", shape=(-1, -1, 4)),
                TensorSpec(name="scores", datatype="FP32", shape=(-1, -1, len(labels))),
            ),
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedDetection:
        return PreparedDetection(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        """Raw bytes of an image, base64 text (or a list of either), or {"image": ...}."""
        return IMAGES.sample(inputs)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """[{"label", "score", "box": {"xmin", "ymin", "xmax", "ymax"}}] a row, the surest first, in whole pixels;
        those with a score of 0.5 or more unless `threshold` says otherwise."""
        given = resolve(DetectionParameters, parameters, "parameters")
        threshold = detection_metrics.SURE if given.threshold is None else given.threshold
        used = (outputs["scores"] >= threshold) & (outputs["classes"] >= 0)
        boxes = np.rint(outputs["boxes"]).astype(np.int64)
        return [
            [
                _detection(labels[outputs["classes"][row, k]], outputs["scores"][row, k], boxes[row, k])
                for k in np.flatnonzero(used[row])
            ]
            for row in range(len(used))
        ]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        return objects.truths(column, labels)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return detection_metrics.detection(outputs, targets, labels)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        found = average_precision.match(outputs, targets, (0.5,))
        return float(average_precision.mean(average_precision.average_precisions(found))[0])

    def exhibits(
        self, predict: Predict, prepared: Any, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        (target,) = columns.keys() - {prepared.column}
        shown = pictures(
            columns[prepared.column],
            objects.read(columns[target]),
            lambda some: self.encode(predict(prepared.decode({prepared.column: some})), labels, {}),
            labels,
        )
        note = "Dashed: the true boxes. Drawn through: what was found with a score of 0.5 or more."
        return (Exhibit(title="Detections", note=note, pictures=shown),)

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {
            "optimizer": "adamw",
            "learning_rate": 0.003,
            "schedule": {"name": "cosine", "warmup": 0.05},
            "batch_size": 16,
            "epochs": 60 if net == "yolo" else 40,  # it learns more slowly
            "weight_decay": 0.05,
            "clip_norm": 10.0,
            "augmentation": {"flip": 0.5, "crop": 8},
        }
        return {"preprocessing": {}, "training": training, "evaluation": {"bootstrap": 200}}


def _image(preprocessing: Mapping[str, Any]) -> TensorSpec:
    height, width = preprocessing["size"]
    channels = 1 if preprocessing["mode"] == "L" else 3
    return TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, height, width, channels))


def _detection(label: str, score: Any, box: npt.NDArray[np.int64]) -> dict[str, Any]:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box.tolist(), strict=True)
    return {"label": label, "score": float(score), "box": dict(corners)}


def _size(values: Sequence[Any]) -> tuple[int, int]:
    """Multiples of _STEP in proportion to the images' median."""
    headers = [images.header(value) for value in values if value is not None]
    if not headers:
        raise InvalidInput("the training split has no images")
    width, height, _ = np.median(np.array([(w, h, 0) for w, h, _ in headers]), axis=0)
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    return _whole(height * scale), _whole(width * scale)


def _whole(side: float) -> int:
    return max(_STEP, round(side / _STEP) * _STEP)


TASK = ObjectDetection()
