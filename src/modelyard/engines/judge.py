"""The judge of generated images: a classifier that was trained on the same training split, by whose last features
samples are compared with real images, and which says what it takes a sample for.

It lies in the package of what it judges, for evaluation alone: serving does not open it. It sees what callers get:
pixels of 8 bits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.engines import onnx
from modelyard.engines.contract import Array, Engine, EngineOptions
from modelyard.errors import InvalidInput
from modelyard.types.tensor import Signature, TensorSpec

FILE: Final = "judge.onnx"
_TOGETHER: Final = 256
_POOLED: Final = 8  # a side of the features of plain pixels


class Judge:
    """`engine` is None where the data had no labels to train a classifier by: features are then pixels, averaged
    down to at most 8 x 8."""

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine

    def opinions(self, pixels: Array) -> dict[str, Array]:
        """Of uint8 [rows, height, width, channels]: `features` FP32 [rows, width], and, of a classifier,
        `probabilities` FP32 [rows, classes]."""
        if self._engine is None:
            return {"features": _pooled(pixels)}
        parts = [
            self._engine.run({"image": pixels[at : at + _TOGETHER]})
            for at in range(0, len(pixels), _TOGETHER)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def compared(self, samples: Array, real: Array) -> dict[str, Array]:
        """Opinions of generated and of as many real images, these under "real_...". Both as for `opinions`."""
        found, there = self.opinions(samples), self.opinions(real)
        return {**found, **{f"real_{name}": value for name, value in there.items()}}


def open_judge(folder: Path | None, preprocessing: Mapping[str, Any]) -> Judge:
    """The judge of a package in `folder`. Raises InvalidInput where there is none."""
    described = preprocessing.get("judge")
    if described is None or folder is None:
        raise InvalidInput("the package has no judge to measure generated images by")
    if not described.get("file"):
        return Judge()
    height, width = preprocessing["size"]
    channels = 1 if preprocessing["mode"] == "L" else 3
    image = TensorSpec(name="image", datatype="UINT8", shape=(-1, height, width, channels))
    signature = Signature(inputs=(image,), outputs=specs(described["features"], described["classes"]))
    return Judge(onnx.create(folder / str(described["file"]), signature, EngineOptions()))


def specs(features: int, classes: int) -> tuple[TensorSpec, TensorSpec]:
    """What a judge that is a classifier answers."""
    return (
        TensorSpec(name="features", datatype="FP32", shape=(-1, features)),
        TensorSpec(name="probabilities", datatype="FP32", shape=(-1, classes)),
    )


def _pooled(pixels: Array) -> Array:
    """Means over blocks, in 0..1, [rows, at most 8 * 8 * channels]."""
    rows, height, width, _ = pixels.shape
    down, across = (
        np.linspace(0, side, min(side, _POOLED) + 1).round().astype(int) for side in (height, width)
    )
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float32), down[:-1], axis=1), across[:-1], axis=2)
    counts = np.diff(down)[:, None, None] * np.diff(across)[None, :, None]
    return np.asarray(sums / counts / 255).reshape(rows, -1)
