"""Tabular regression: a row of a table in, a number out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import metrics, tables
from modelyard.tasks.answers import NoParameters, finite, number_targets
from modelyard.tasks.contract import Array, TargetKind
from modelyard.tasks.options import resolve
from modelyard.tasks.table_task import TableTask
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import Signature, TensorSpec

_PREDICTION: Final = TensorSpec(name="prediction", datatype="FP32", shape=(-1,))


class TabularRegression(TableTask):
    """See `contract.Task`."""

    name = "tabular-regression"
    main_metric = "rmse"
    higher_is_better = False
    default_net = "linear_regression"
    target_kind: TargetKind = "number"

    def check(self, schema: Schema, target: str) -> list[str]:
        names = tables.features(schema, target, self.name)
        column = schema.column(target)
        if column is not None and column.kind not in ("number", "integer"):
            raise InvalidInput(
                f"{self.name} needs a target of numbers",
                came=f"{target} ({column.kind})",
                allowed="number, integer",
            )
        return names

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(inputs=tables.input_specs(preprocessing), outputs=(_PREDICTION,))

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(inputs=(tables.feature_spec(preprocessing),), outputs=(_PREDICTION,))

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """One float a row, in the target's unit."""
        resolve(NoParameters, parameters, "parameters")
        answers: list[float] = finite(outputs["prediction"]).tolist()
        return answers

    def targets(self, column: Any, labels: Sequence[str]) -> npt.NDArray[np.float64]:
        return number_targets(column)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return metrics.regression(outputs["prediction"], targets)

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return metrics.rmse(outputs["prediction"], targets)

    def default_recipe(self, net: str) -> dict[str, Any]:
        return {"preprocessing": {}, "training": tables.net_training(net), "evaluation": {}}


TASK = TabularRegression()
