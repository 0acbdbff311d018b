"""Tabular classification: a row of a table in, a probability for each class out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.tasks import metrics, tables
from modelyard.tasks.answers import check_class_target, class_answers, class_targets
from modelyard.tasks.contract import Array, TargetKind
from modelyard.tasks.table_task import TableTask
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import TensorSpec


class TabularClassification(TableTask):
    """See `contract.Task`."""

    name = "tabular-classification"
    main_metric = "accuracy"
    higher_is_better = True
    default_net = "random_forest"
    target_kind: TargetKind = "class"

    def check(self, schema: Schema, target: str) -> list[str]:
        names = tables.features(schema, target, self.name)
        check_class_target(schema, target, self.name)
        return names

    def output(self, labels: Sequence[str]) -> TensorSpec:
        return TensorSpec(name="probabilities", datatype="FP32", shape=(-1, len(labels)))

    def answers(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """[{"label", "score"}] a row by falling score, all classes unless `top_k` says otherwise."""
        return class_answers(outputs, labels, parameters, top_k=None)

    def compared(self, column: Any, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        return class_targets(column, labels)

    def figures(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return metrics.classification(outputs["probabilities"], targets, labels)

    def figure(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return metrics.accuracy(outputs["probabilities"], targets)


TASK = TabularClassification()
