"""A data set version as scripts take it: arrays, a data frame, loaders."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.conversion.contract import Origin
from modelyard.datasets import Dataset, open_dataset
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.dataset import Column, Schema

Array = npt.NDArray[Any]
_ORIGIN_ROWS: Final = 256
_NUMBERS: Final = ("number", "integer", "boolean")


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A data set in memory. Iterating gives x_train, y_train, x_test, y_test.

    x of images is uint8 [rows, height, width], or [rows, height, width, 3] in colour; of a table float32
    [rows, features], in the schema's order. y is int64 class numbers (their names are `class_names`), float32
    values, or None without a label. The validation rows are apart; they are in no other part.
    """

    x_train: Array
    y_train: Array | None
    x_test: Array
    y_test: Array | None
    x_validation: Array
    y_validation: Array | None
    class_names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Array | None]:
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))


class ScriptDataset:
    """What `modelyard.dataset(NAME)` gives. Nothing is read before it is asked for."""

    def __init__(self, reference: str, folder: Path, digest: str | None = None) -> None:
        self.reference = reference
        self._dataset: Dataset = open_dataset(folder, verify=False, digest=digest)
        self._arrays: dict[tuple[int, int] | None, Arrays] = {}

    def __repr__(self) -> str:
        rows = ", ".join(f"{split} {n}" for split, n in self._dataset.manifest.split_rows.items())
        return f"ScriptDataset({self.reference!r}, rows: {rows}, columns: {[c.name for c in self.schema.columns]})"

    def _repr_html_(self) -> str:
        from modelyard.tracking.display import dataset_html

        return dataset_html(self.reference, self._dataset.manifest)

    @property
    def schema(self) -> Schema:
        return self._dataset.manifest.schema

    @property
    def digest(self) -> str:
        return self._dataset.digest

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        return self._dataset.manifest.class_names

    def arrays(self, size: tuple[int, int] | None = None) -> Arrays:
        """All rows as NumPy arrays; see `Arrays`. `size` (height, width): of images, whose sides differ otherwise.

        Raises InvalidInput for columns that are no numbers, and images of several sizes without `size`.
        """
        if size not in self._arrays:
            parts = {split: self._part(split, size) for split in ("train", "test", "validation")}
            named = {
                f"{axis}_{split}": pair[k] for split, pair in parts.items() for k, axis in enumerate("xy")
            }
            self._arrays[size] = Arrays(class_names=self.class_names, **named)  # type: ignore[arg-type]
        return self._arrays[size]

    def frame(self, split: str | None = None) -> Any:
        """The rows of a split (None: of all, with a column `split`) as a pandas DataFrame, texts as they are.

        Raises MissingExtra without pandas, UnknownName for a split.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra("pandas", "sklearn") from error
        names = [c.name for c in self.schema.columns] + (["split"] if split is None else [])
        return pd.DataFrame(dict(self._dataset.columns(split, names)))

    def torch(self, batch_size: int = 64, *, size: tuple[int, int] | None = None, seed: int = 0) -> Any:
        """(train, test) torch DataLoaders. Images are float32 [rows, channels, height, width] in 0..1; the training
        loader shuffles, by `seed`. Raises MissingExtra."""
        from modelyard.tracking.loaders import torch_loaders

        return torch_loaders(self.arrays(size), self._is_image, batch_size, seed)

    def tf(self, batch_size: int = 64, *, size: tuple[int, int] | None = None, seed: int = 0) -> Any:
        """(train, test) tf.data.Datasets. Images are float32 [rows, height, width, channels] in 0..1; the training
        one shuffles, by `seed`. Raises MissingExtra."""
        from modelyard.tracking.loaders import tf_datasets

        return tf_datasets(self.arrays(size), self._is_image, batch_size, seed)

    def origin(self) -> Origin:
        """What a model that is packaged can be told of its data."""
        known = next(iter(self._arrays.values()), None)
        return Origin(
            schema=self.schema,
            class_names=self.class_names,
            rows=None if known is None else known.x_test[:_ORIGIN_ROWS],
            targets=None if known is None or known.y_test is None else known.y_test[:_ORIGIN_ROWS],
        )

    @property
    def _is_image(self) -> bool:
        return any(c.kind == "image" for c in self._features())

    def _features(self) -> list[Column]:
        return [c for c in self.schema.columns if c.name != self.schema.label]

    def _part(self, split: str, size: tuple[int, int] | None) -> tuple[Array, Array | None]:
        features, label = self._features(), self.schema.label
        columns = self._dataset.columns(split, [c.name for c in features] + ([label] if label else []))
        x = _pixels(columns, features, size) if self._is_image else _matrix(columns, features)
        return x, None if label is None else self._targets(columns[label], label)

    def _targets(self, values: Array, label: str) -> Array:
        from modelyard.tasks.answers import class_targets, number_targets

        if self.class_names:
            return class_targets(values, self.class_names)
        return number_targets(values).astype(np.float32)


def _matrix(columns: dict[str, Array], features: list[Column]) -> Array:
    other = [f"{c.name} ({c.kind})" for c in features if c.kind not in _NUMBERS]
    if other:
        raise InvalidInput(
            "arrays() is for numbers; frame() gives these columns as they are", came=other, allowed=_NUMBERS
        )
    if not features:
        raise InvalidInput("the data set has no column besides its label")
    return np.stack([columns[c.name].astype(np.float32) for c in features], axis=1)


def _pixels(columns: dict[str, Array], features: list[Column], size: tuple[int, int] | None) -> Array:
    from modelyard.tasks import images

    names = [c.name for c in features if c.kind == "image"]
    if len(names) != 1:
        raise InvalidInput("arrays() is for one column of images", came=names)
    encoded = columns[names[0]].tolist()
    if not encoded:
        return np.empty((0, *(size or (0, 0))), np.uint8)
    headers = {images.header(data) for data in encoded[:_ORIGIN_ROWS]}
    sizes = {(height, width) for width, height, _ in headers}
    if size is None and len(sizes) > 1:
        raise InvalidInput(
            "the images have several sizes", came=sorted(sizes)[:5], allowed="arrays(size=(64, 64))"
        )
    mode = "L" if all(m == "L" for _, _, m in headers) else "RGB"
    pixels = images.decode_all(encoded, mode, size or next(iter(sizes)))
    return pixels[..., 0] if mode == "L" else pixels
