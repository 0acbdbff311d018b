"""What tasks of generated images share: noise from seeds, the fitted size, PNG files as answers.

Their preprocessing, JSON values as everywhere:
    column, mode, size, mean, std   of the training images, as image-classification has them
    latent                          values of noise that an image is made of
    labels, target                  names that images are asked for by, and the column that has them
    judge                           {"features": width, "file": name}: the model that the reports' figures need
"""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks import frechet, images
from modelyard.tasks.answers import finite
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, Examples
from modelyard.tasks.image_classification import TASK as IMAGES
from modelyard.tasks.mosaic import mosaic, png, to_pixels
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Picture
from modelyard.types.tensor import Signature, TensorSpec

SEED: Final = "seed"
MOST: Final = 64
"""Images of one request."""
_MOST_SEED: Final = 2**63 - 1


class GenerationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for generated images.

    latent  values of noise that an image is made of
    size    [height, width] in pixels; None: the training images' median, its longer side at most 64
    mode    "L" (grey), "RGB", or "auto": "L" where all training images are grey
    """

    latent: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    size: tuple[int, int] | None = None
    mode: Literal["auto", "L", "RGB"] = "auto"


class GenerationParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask. With a `seed` the same image comes again. `height` and `width` are the model's own."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=_MOST_SEED)] | None = None
    height: int | None = None
    width: int | None = None


class PreparedGeneration:
    """See `contract.Prepared`. `labels` are empty where images are not asked for by name."""

    def __init__(self, preprocessing: Mapping[str, Any], labels: Sequence[str], prompt: str) -> None:
        self._column = str(preprocessing["column"])
        self._target = str(preprocessing.get("target", ""))
        self._prompt = prompt if labels else ""
        self._latent = int(preprocessing["latent"])
        self._mode = str(preprocessing["mode"])
        height, width = preprocessing["size"]
        self.size = (int(height), int(width))
        self._labels = {name: number for number, name in enumerate(labels)}
        self._folded = {name.casefold(): number for name, number in self._labels.items()}

    def decode(self, columns: Columns) -> dict[str, Array]:
        """A caller's columns: the prompts ("text"), or seeds ("seed"), or both. A data set's: images, and their
        labels; the noise of a row is then drawn from the image's own bytes, so that an evaluation is repeated to
        the last digit."""
        known = {self._column, self._target, self._prompt, SEED} - {""}
        if not columns or not columns.keys() <= known:
            raise InvalidInput("other columns", came=sorted(columns)[:20], allowed=sorted(known))
        rows = {name: _listed(values) for name, values in columns.items()}
        counts = {len(values) for values in rows.values()}
        if len(counts) != 1 or counts == {0}:
            raise InvalidInput("columns need the same number of rows, 1 or more", came=sorted(counts))
        arrays = {"noise": self._noises(rows, counts.pop())}
        if self._labels:
            asked = rows.get(self._prompt, rows.get(self._target))
            if asked is None:
                raise InvalidInput(
                    "there is no prompt", came=sorted(columns), allowed=list(self._labels)[:20]
                )
            arrays["label"] = np.array([self._number(name) for name in asked], np.int64)
        return arrays

    def adjusted(self, arrays: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Array]:
        """The same with the noise of the seed that was asked for: its own for each row. Raises InvalidInput."""
        given = _parameters(parameters)
        for name, wanted, side in zip(
            ("height", "width"), (given.height, given.width), self.size, strict=True
        ):
            if wanted not in (None, side):
                raise InvalidInput(f"{name}: this model's images have one size", came=wanted, allowed=side)
        if given.seed is None:
            return dict(arrays)
        noises = [self._noise(given.seed, row) for row in range(len(arrays["noise"]))]
        return {**arrays, "noise": np.stack(noises)}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """As they came, checked: noise [rows, latent] of finite values, labels that there are."""
        wanted = {"noise", "label"} if self._labels else {"noise"}
        if arrays.keys() != wanted:
            raise InvalidInput("other inputs", came=sorted(arrays), allowed=sorted(wanted))
        noise = arrays["noise"]
        if noise.dtype != np.float32 or noise.shape[1:] != (self._latent,) or not len(noise):
            raise InvalidInput(
                "the noise has a wrong shape or type",
                came=f"{noise.dtype} {list(noise.shape)}",
                allowed=f"float32 [rows, {self._latent}]",
            )
        if not np.isfinite(noise).all():
            raise InvalidInput("the noise has values that are not finite")
        if "label" in arrays:
            self._check_labels(arrays["label"], len(noise))
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def pixels(self, columns: Columns) -> images.Pixels:
        """A data set's images as the model is to make them, uint8 [rows, height, width, channels]."""
        return images.decode_all(list(columns[self._column]), self._mode, self.size)

    def _noises(self, rows: Mapping[str, list[Any]], count: int) -> Array:
        if SEED in rows:
            return np.stack([self._noise(_seed(value), 0) for value in rows[SEED]])
        if self._column in rows:
            return np.stack([self._noise(_digest(row, v), 0) for row, v in enumerate(rows[self._column])])
        return np.random.default_rng().standard_normal((count, self._latent), np.float32)

    def _noise(self, seed: int, row: int) -> Array:
        return np.random.default_rng([seed, row]).standard_normal(self._latent, np.float32)

    def _number(self, asked: Any) -> int:
        if not isinstance(asked, str | bytes):
            raise InvalidInput(
                "a prompt is a text", came=type(asked).__name__, allowed=list(self._labels)[:20]
            )
        name = (asked.decode("utf-8", "replace") if isinstance(asked, bytes) else asked).strip()
        number = self._labels.get(name, self._folded.get(name.casefold()))
        if number is None:
            raise UnknownName("label", name[:100], self._labels, where="prompt")
        return number

    def _check_labels(self, label: Array, rows: int) -> None:
        if label.dtype != np.int64 or label.shape != (rows,):
            raise InvalidInput(
                "labels have a wrong shape or type",
                came=f"{label.dtype} {list(label.shape)}",
                allowed="int64 [rows]",
            )
        if label.min() < 0 or label.max() >= len(self._labels):
            raise InvalidInput(
                "there is no such label",
                came=[int(label.min()), int(label.max())],
                allowed=f"0 to {len(self._labels) - 1}",
            )


class ImageGeneration(BaseTask):
    """What both tasks are alike in. See `contract.Task`."""

    name = ""
    judged = True
    media = "image/png"
    default_net = "vae"
    options: type[Any] = GenerationOptions

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        given = resolve(GenerationOptions, options, "preprocessing")
        column = image_column(schema, schema.label or "", self.name)
        plain = {"size": given.size, "mode": given.mode}
        return {**IMAGES.fit({column: columns[column]}, schema, plain), "latent": given.latent}

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        raise NotImplementedError

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return self.signature(preprocessing, labels)

    def examples(  # type: ignore[override]  # its own Prepared
        self, prepared: PreparedGeneration, columns: Columns, target: Any, labels: Sequence[str]
    ) -> Examples:
        """Inputs as the engine's; targets `image`, uint8 pixels, and `target`, class numbers, or zeros."""
        pixels = prepared.pixels(columns)
        named = self.targets(target if labels else pixels, labels)
        targets = {"image": pixels, "target": named}
        return Examples(inputs=prepared.transform(prepared.decode(columns)), targets=targets)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """A PNG file a row."""
        _parameters(parameters)
        return [png(image) for image in to_pixels(finite(outputs["image"]))]

    def sketched(
        self, sketches: Mapping[int, Mapping[str, Array]], examples: Examples, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        """The same noise over training, and what a net shows besides (reconstructions)."""
        found = [_over_training(sketches)]
        last = sketches[max(sketches)]
        if "reconstruction" in last:
            pair = np.concatenate([examples.targets["image"], to_pixels(last["reconstruction"])])
            picture = Picture(png=mosaic(pair, len(examples)), caption="above: real; below: rebuilt")
            found.append(Exhibit(title="Reconstructions", pictures=(picture,)))
        return found

    def default_recipe(self, net: str) -> dict[str, Any]:
        training = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 128}
        if net == "gan":
            training = {"optimizer": "adam", "learning_rate": 0.0002, "beta1": 0.5, "batch_size": 128}
        return {"preprocessing": {}, "training": training, "evaluation": {"bootstrap": 200}}


def image_column(schema: Schema, target: str, task: str) -> str:
    """The one column of images. Raises InvalidInput naming what is there."""
    found = [c.name for c in schema.columns if c.kind == "image" and c.name != target]
    if len(found) != 1:
        there = [f"{c.name} ({c.kind})" for c in schema.columns]
        raise InvalidInput(f"{task} needs exactly one image column", came=there)
    return found[0]


def noise_spec(preprocessing: Mapping[str, Any]) -> TensorSpec:
    """`noise` FP32 [-1, latent]: drawn from the standard normal distribution."""
    return TensorSpec(name="noise", datatype="FP32", shape=(-1, int(preprocessing["latent"])))


def image_spec(preprocessing: Mapping[str, Any]) -> TensorSpec:
    """`image` FP32 [-1, height, width, channels], values of 0..1."""
    height, width = preprocessing["size"]
    channels = 1 if preprocessing["mode"] == "L" else 3
    return TensorSpec(name="image", datatype="FP32", shape=(-1, height, width, channels))


def figures(outputs: Mapping[str, Array]) -> dict[str, float]:
    """Of features (see `engines.judge`): the distance of samples from the split's own images, and, to compare with,
    that of the real images' halves from each other."""
    found = {"frechet_distance": frechet.distance(outputs["features"], outputs["real_features"])}
    if len(outputs["real_features"]) > 1:
        found["real_halves_distance"] = frechet.halves(outputs["real_features"])
    return found


def _over_training(sketches: Mapping[int, Mapping[str, Array]]) -> Exhibit:
    epochs = sorted(sketches)
    rows = np.concatenate([to_pixels(sketches[epoch]["image"]) for epoch in epochs])
    said = ", ".join(str(epoch) for epoch in epochs)
    picture = Picture(png=mosaic(rows, len(sketches[epochs[0]]["image"])), caption=f"a line an epoch: {said}")
    return Exhibit(
        title="Samples over training", note="The same noise after more and more epochs.", pictures=(picture,)
    )


def _parameters(parameters: Mapping[str, Any]) -> GenerationParameters:
    return resolve(GenerationParameters, parameters, "parameters") if parameters else GenerationParameters()


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _seed(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_SEED:
        raise InvalidInput("a seed is a whole number", came=str(value)[:40], allowed=f"0 to {_MOST_SEED}")
    return value


def _digest(row: int, data: Any) -> int:
    if not isinstance(data, bytes):
        raise InvalidInput(f"image {row} is not an encoded image", came=type(data).__name__, allowed="bytes")
    return zlib.crc32(data)


def checked_rows(values: npt.ArrayLike | list[Any], what: str) -> list[Any]:
    """A request's rows. Raises InvalidInput for none and for too many."""
    rows = list(values)  # type: ignore[arg-type]
    if not 1 <= len(rows) <= MOST:
        raise InvalidInput(f"a request has 1 to {MOST} {what}", came=len(rows))
    return rows
