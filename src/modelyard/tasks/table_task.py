"""What classification and regression of tables share: reading rows, and one target or several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import several, tables
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.table_fit import TableOptions
from modelyard.tasks.table_fit import fit as fit_table
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import Signature, TensorSpec


class TableTask(BaseTask):
    """The half of a Task that reads rows. See `contract.Task`. A subclass says what is of one target: `output`,
    `answers`, `compared`, `figures`, `figure`."""

    options = TableOptions
    takes_several_targets = True

    def output(self, labels: Sequence[str]) -> TensorSpec:
        raise NotImplementedError

    def answers(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        raise NotImplementedError

    def compared(self, column: Any, labels: Sequence[str]) -> Array:
        raise NotImplementedError

    def figures(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        raise NotImplementedError

    def figure(self, outputs: Mapping[str, Array], targets: Array) -> float:
        raise NotImplementedError

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        return fit_table(columns, schema, options)

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [column["name"] for column in preprocessing["columns"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(
            inputs=tables.input_specs(preprocessing), outputs=self._outputs(preprocessing, labels)
        )

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return Signature(
            inputs=(tables.feature_spec(preprocessing),), outputs=self._outputs(preprocessing, labels)
        )

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> tables.PreparedTable:
        return tables.PreparedTable(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return tables.sample(inputs)

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """One answer a row; of several targets {target: its answer}."""
        if not several.are(outputs):
            return self.answers(outputs, labels, parameters)
        found = {
            one.name: self.answers(one.outputs, one.labels, parameters)
            for one in several.each(outputs, labels)
        }
        return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        """Of several targets, {target: values}, [rows, targets]."""
        if not isinstance(column, Mapping):
            return self.compared(column, labels)
        found = []
        for name, values in column.items():
            try:
                found.append(self.compared(values, several.labels_of(name, labels)))
            except InvalidInput as error:
                what = f"target {name!r}: {error.what}"
                raise InvalidInput(what, came=error.came, allowed=error.allowed) from None
        return np.stack(found, axis=1)

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        if not several.are(outputs):
            return self.figures(outputs, targets, labels)
        ones = several.each(outputs, labels, targets)
        return several.together(
            {one.name: self.figures(one.outputs, one.targets, one.labels) for one in ones}
        )

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        if not several.are(outputs):
            return self.figure(outputs, targets)
        return float(
            np.mean([self.figure(one.outputs, one.targets) for one in several.each(outputs, (), targets)])
        )

    def default_recipe(self, net: str) -> dict[str, Any]:
        return {"preprocessing": {}, "training": tables.net_training(net), "evaluation": {}}

    def _outputs(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> tuple[TensorSpec, ...]:
        target = preprocessing.get("target")
        if not isinstance(target, list | tuple):
            return (self.output(labels),)
        return tuple(several.renamed(self.output(several.labels_of(name, labels)), name) for name in target)
