"""Unconditional image generation: a seed in, or nothing, an image like the training images out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks.answers import class_targets
from modelyard.tasks.contract import Array, Columns, Predict, Prepared, TargetKind
from modelyard.tasks.image_generation import (
    SEED,
    ImageGeneration,
    PreparedGeneration,
    checked_rows,
    figures,
    image_column,
    image_spec,
    noise_spec,
)
from modelyard.tasks.mosaic import mosaic, to_pixels
from modelyard.types.dataset import Schema
from modelyard.types.report import Exhibit, Metrics, Picture
from modelyard.types.tensor import Signature

_ALLOWED: Final = "nothing, a seed, a list of seeds"
_SIDE: Final = 8  # of the grids
_WALKS: Final = 4


class UnconditionalImageGeneration(ImageGeneration):
    """See `contract.Task`. Labels, where the data has such, are for the judge alone."""

    name = "unconditional-image-generation"
    main_metric = "frechet_distance"
    higher_is_better = False
    target_kind: TargetKind = "none"

    def check(self, schema: Schema, target: str) -> list[str]:
        names = [image_column(schema, target, self.name)]
        column = schema.column(target) if target else None
        return (
            [*names, target]
            if column is not None and column.kind in ("category", "boolean", "integer")
            else names
        )

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [preprocessing["column"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`noise` FP32 [-1, latent] to `image` FP32 [-1, height, width, channels]."""
        return Signature(inputs=(noise_spec(preprocessing),), outputs=(image_spec(preprocessing),))

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedGeneration:
        return PreparedGeneration(preprocessing, (), "")

    def sample(self, inputs: Any) -> dict[str, Any]:
        """Nothing (null, an empty text or list) for an image of fresh noise; a seed; a list of seeds for an image
        each, also as {"seed": [...]}."""
        if isinstance(inputs, Mapping) and inputs.keys() == {"data"}:
            inputs = inputs["data"]
        if isinstance(inputs, Mapping) and inputs.keys() == {SEED}:
            inputs = inputs[SEED]
        if inputs is None or (isinstance(inputs, str | bytes | list | dict) and not inputs):
            return {SEED: [int(np.random.default_rng().integers(2**63))]}
        if isinstance(inputs, int):
            inputs = [inputs]
        if not isinstance(inputs, list):
            raise InvalidInput("inputs are no seeds", came=type(inputs).__name__, allowed=_ALLOWED)
        return {SEED: checked_rows(inputs, "seeds")}

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """Class numbers, or zeros where there are no labels: an image has no one answer to be compared with."""
        return class_targets(column, labels) if labels else np.zeros(len(column), np.int64)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        """The distance and, where a classifier judges, how its answers are spread over classes."""
        values = figures(outputs)
        if labels:
            values |= _spread(outputs, targets, len(labels))
        return Metrics(main=self.main_metric, higher_is_better=False, values=values)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return figures(outputs)["frechet_distance"]

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        assert isinstance(prepared, PreparedGeneration)
        drawn = prepared.decode({SEED: list(range(_SIDE * _SIDE))})["noise"]
        made, walked = (to_pixels(predict({"noise": z})["image"]) for z in (drawn, _walks(drawn)))
        real = prepared.pixels(columns)[: _SIDE * _SIDE]
        grids = (
            Picture(png=mosaic(made, _SIDE), caption="generated, seeds 0 to 63"),
            Picture(png=mosaic(real, _SIDE), caption="real images of this split"),
        )
        walk = Picture(png=mosaic(walked, _SIDE), caption="each line goes from one seed's noise to another's")
        return Exhibit(title="Samples", pictures=grids), Exhibit(title="Between samples", pictures=(walk,))


def _spread(outputs: Mapping[str, Array], targets: Array, classes: int) -> dict[str, float]:
    """How right the judge is on real images; the share of samples that would have to change their class for classes
    to be as frequent as in the split (total variation); how sure it is of a sample."""
    answers = outputs["probabilities"].argmax(axis=1)
    found, real = (np.bincount(a, minlength=classes) / len(a) for a in (answers, targets))
    return {
        "class_imbalance": float(np.abs(found - real).sum() / 2),
        "mean_confidence": float(outputs["probabilities"].max(axis=1).mean()),
        "judge_accuracy": float(np.mean(outputs["real_probabilities"].argmax(axis=1) == targets)),
    }


def _walks(noise: Array) -> Array:
    """From one row of noise to the next on a great circle, so that no step has less length than noise has
    (White 2016, Sampling generative networks, section 2.1)."""
    lines = []
    for start, end in zip(noise[:_WALKS], noise[_WALKS : 2 * _WALKS], strict=True):
        cosine = float(start @ end / (np.linalg.norm(start) * np.linalg.norm(end)))
        angle = np.arccos(np.clip(cosine, -0.9999, 0.9999))
        steps = np.linspace(0, 1, _SIDE)[:, None]
        lines.append((np.sin((1 - steps) * angle) * start + np.sin(steps * angle) * end) / np.sin(angle))
    return np.concatenate(lines).astype(np.float32)


TASK = UnconditionalImageGeneration()
