"""Text classification: a text in, a score for each class out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import texts, vocabulary
from modelyard.tasks.answers import check_class_target, class_answers
from modelyard.tasks.class_task import ClassTask
from modelyard.tasks.contract import Array
from modelyard.tasks.options import resolve
from modelyard.tasks.text_task import TextTask
from modelyard.types.dataset import Schema
from modelyard.types.tensor import Signature, TensorSpec


class TextClassParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask. `function_to_apply` is of the logits; by default the model's own: softmax, or sigmoid
    where a text may have several classes. The rest is about long texts: see `texts.PreparedTexts.adjusted`."""

    top_k: int | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right"] | None = None


class TextClassification(ClassTask, TextTask):
    """See `contract.Task`."""

    name = "text-classification"
    default_net = "embedding_bag"

    def check(self, schema: Schema, target: str) -> list[str]:
        check_class_target(schema, target, self.name)
        return super().check(schema, target)

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        """`probabilities` and `logits`, FP32 [-1, classes]."""
        return Signature(inputs=(texts.input_spec(),), outputs=_outputs(labels))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(inputs=texts.token_specs(preprocessing), outputs=_outputs(labels))

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """[{"label", "score"}] a row by falling score, all classes unless `top_k` says otherwise."""
        given = (
            resolve(TextClassParameters, parameters, "parameters") if parameters else TextClassParameters()
        )
        scores = _applied(outputs, given.function_to_apply)
        return class_answers({"probabilities": scores}, labels, {"top_k": given.top_k}, top_k=None)

    def default_recipe(self, net: str) -> dict[str, Any]:
        """Texts are few beside words: what follows keeps a net from learning them by heart."""
        if net == vocabulary.MINILM:
            return _TRANSFER
        training: dict[str, Any] = {
            "optimizer": "adam",
            "learning_rate": 0.003,
            "schedule": {"name": "cosine", "warmup": 0.1},
            "batch_size": 128,
            "epochs": 6,
            "clip_norm": 1.0,
            "label_smoothing": 0.05,
            "ema": 0.99,
        }
        if net != "embedding_bag":  # its dropout does the same
            training["augmentation"] = {"word_dropout": 0.2}
        return {
            "preprocessing": {},
            "training": {} if net.startswith("tfidf") else training,
            "evaluation": {},
        }


_TRANSFER: Final[dict[str, Any]] = {
    "preprocessing": {"kind": vocabulary.MINILM},
    "training": {
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "weight_decay": 0.01,
        "schedule": {"name": "cosine", "warmup": 0.1},
        "batch_size": 32,
        "epochs": 2,
        "clip_norm": 1.0,
        "label_smoothing": 0.05,
    },
    "evaluation": {},
}
"""Of a net that knows words already (Devlin et al. 2019, appendix A.3): small steps, and few of them."""


def _outputs(labels: Sequence[str]) -> tuple[TensorSpec, ...]:
    shape = (-1, len(labels))
    return tuple(TensorSpec(name=name, datatype="FP32", shape=shape) for name in ("probabilities", "logits"))


def _applied(outputs: Mapping[str, Array], function: str | None) -> Array:
    """Scores [rows, classes]."""
    if function is None:
        return outputs["probabilities"]
    if "logits" not in outputs:
        raise InvalidInput("this model gives no logits to apply a function to", came=function)
    logits = outputs["logits"]
    if function == "none":
        return logits
    if function == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


TASK = TextClassification()
