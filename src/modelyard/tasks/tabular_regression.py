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
from modelyard.types.tensor import TensorSpec

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

    def output(self, labels: Sequence[str]) -> TensorSpec:
        return _PREDICTION

    def answers(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """One float a row, in the target's unit."""
        resolve(NoParameters, parameters, "parameters")
        found: list[float] = finite(outputs["prediction"]).tolist()
        return found

    def compared(self, column: Any, labels: Sequence[str]) -> npt.NDArray[np.float64]:
        return number_targets(column)

    def figures(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return metrics.regression(outputs["prediction"], targets)

    def figure(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return metrics.rmse(outputs["prediction"], targets)


TASK = TabularRegression()
