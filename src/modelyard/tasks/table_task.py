"""What classification and regression of tables share: everything but the target."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.tasks import tables
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Columns
from modelyard.tasks.table_fit import TableOptions
from modelyard.tasks.table_fit import fit as fit_table
from modelyard.types.dataset import Schema


class TableTask(BaseTask):
    """The half of a Task that reads rows. See `contract.Task`."""

    options = TableOptions

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        return fit_table(columns, schema, options)

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [column["name"] for column in preprocessing["columns"]]

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> tables.PreparedTable:
        return tables.PreparedTable(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return tables.sample(inputs)
