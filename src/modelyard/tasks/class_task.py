"""What tasks share whose answer is one of the labels: how it is told, compared and measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.tasks import metrics
from modelyard.tasks.answers import class_answers, class_targets
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, TargetKind
from modelyard.types.report import Metrics


class ClassTask(BaseTask):
    """The half of a Task that gives `probabilities` FP32 [-1, classes]. `most_told`: classes of an answer that says
    no `top_k`; None: all."""

    main_metric = "accuracy"
    target_kind: TargetKind = "class"
    most_told: int | None = 5

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """[{"label", "score"}] a row by falling score, `most_told` of them unless `top_k` says otherwise."""
        return class_answers(outputs, labels, parameters, top_k=self.most_told)

    def targets(self, column: Any, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        return class_targets(column, labels)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return metrics.classification(outputs["probabilities"], targets, labels)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return metrics.accuracy(outputs["probabilities"], targets)
