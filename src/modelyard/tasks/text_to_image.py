"""Text to image: the name of a class in, an image of it out. Prompts are the training data's labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.errors import InvalidInput
from modelyard.tasks import metrics
from modelyard.tasks.answers import check_class_target, class_targets
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
from modelyard.types.tensor import Signature, TensorSpec

PROMPT: Final = "text"
_EACH: Final = 10  # samples of a class that the page shows
_CLASSES: Final = 20
_ALLOWED: Final = 'a prompt, a list of prompts, {"text": [prompts], "seed": [whole numbers]}'


class TextToImage(ImageGeneration):
    """See `contract.Task`."""

    name = "text-to-image"
    main_metric = "recognised"
    target_kind: TargetKind = "class"

    def check(self, schema: Schema, target: str) -> list[str]:
        check_class_target(schema, target, self.name)
        return [image_column(schema, target, self.name), target]

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [preprocessing["column"], preprocessing["target"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`noise` FP32 [-1, latent] and `label` INT64 [-1] to `image` FP32 [-1, height, width, channels]."""
        label = TensorSpec(name="label", datatype="INT64", shape=(-1,))
        return Signature(inputs=(noise_spec(preprocessing), label), outputs=(image_spec(preprocessing),))

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedGeneration:
        return PreparedGeneration(preprocessing, preprocessing["labels"], PROMPT)

    def sample(self, inputs: Any) -> dict[str, Any]:
        """A prompt, a list of them, or columns `text` and, for images that come again, `seed`."""
        if isinstance(inputs, Mapping) and inputs.keys() == {"data"}:
            inputs = inputs["data"]
        if isinstance(inputs, Mapping):
            if PROMPT not in inputs or not inputs.keys() <= {PROMPT, SEED}:
                raise InvalidInput("other columns", came=sorted(map(str, inputs))[:20], allowed=_ALLOWED)
            columns = {n: v if isinstance(v, list) else [v] for n, v in inputs.items()}
            return {str(name): checked_rows(values, "prompts") for name, values in columns.items()}
        if not isinstance(inputs, str | bytes | list):
            raise InvalidInput("inputs are no prompts", came=type(inputs).__name__, allowed=_ALLOWED)
        return {PROMPT: checked_rows(inputs if isinstance(inputs, list) else [inputs], "prompts")}

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        return class_targets(column, labels)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        """What the judge takes the samples for, and how right it is itself, on the split's real images."""
        found = metrics.classification(outputs["probabilities"], targets, labels)
        values = {
            self.main_metric: found.values["accuracy"],
            "judge_accuracy": metrics.accuracy(outputs["real_probabilities"], targets),
            **figures(outputs),
        }
        return msgspec.structs.replace(found, main=self.main_metric, values=values, curves={})

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return metrics.accuracy(outputs["probabilities"], targets)

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        assert isinstance(prepared, PreparedGeneration)
        shown = list(labels)[:_CLASSES]
        prompts = [name for name in shown for _ in range(_EACH)]
        made = to_pixels(
            predict(prepared.decode({PROMPT: prompts, SEED: list(range(len(prompts)))}))["image"]
        )
        alike = [seed for _ in shown for seed in range(_EACH)]
        same = to_pixels(predict(prepared.decode({PROMPT: prompts, SEED: alike}))["image"])
        said = f"a line a class: {', '.join(shown)}"
        return (
            Exhibit(title="Samples by class", pictures=(Picture(png=mosaic(made, _EACH), caption=said),)),
            Exhibit(
                title="The same noise in every class",
                note="A column has one noise: what is alike in it is what the model keeps from class to class.",
                pictures=(Picture(png=mosaic(same, _EACH), caption=said),),
            ),
        )


TASK = TextToImage()
