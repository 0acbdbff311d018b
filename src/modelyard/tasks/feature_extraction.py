"""Feature extraction: a text in, a vector of its meaning out."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import texts
from modelyard.tasks.answers import finite
from modelyard.tasks.contract import Array, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.text_task import TextTask
from modelyard.types.report import Metrics
from modelyard.types.tensor import Signature, TensorSpec

OUTPUT = "embedding"


class EmbeddingParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask. `normalize`: vectors of length 1; without it they are as the model answers. The rest
    is about long texts: see `texts.PreparedTexts.adjusted`."""

    normalize: bool | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right"] | None = None


class FeatureExtraction(TextTask):
    """See `contract.Task`. Its preprocessing has `width`, the values of a vector."""

    name = "feature-extraction"
    main_metric = "none"
    target_kind: TargetKind = "number"

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`embedding` FP32 [-1, width]."""
        return Signature(inputs=(texts.input_spec(),), outputs=_outputs(preprocessing))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(inputs=texts.token_specs(preprocessing), outputs=_outputs(preprocessing))

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """A vector a row."""
        given = (
            resolve(EmbeddingParameters, parameters, "parameters") if parameters else EmbeddingParameters()
        )
        vectors = finite(outputs[OUTPUT])
        if given.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        answers: list[Any] = vectors.tolist()
        return answers

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        return _no_evaluation()

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return _no_evaluation()

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return _no_evaluation()


def _outputs(preprocessing: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return (TensorSpec(name=OUTPUT, datatype="FP32", shape=(-1, int(preprocessing["width"]))),)


def _no_evaluation() -> NoReturn:
    raise InvalidInput(
        "vectors of texts have no good answer to be compared with; evaluate what is built on them"
    )


TASK = FeatureExtraction()
