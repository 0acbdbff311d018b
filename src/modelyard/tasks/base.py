"""What tasks have in common; each says what is its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard.tasks.contract import Array, Columns, Examples, Predict, Prepared, TargetKind
from modelyard.types.report import Exhibit


class BaseTask:
    """The half of a `contract.Task` that most tasks agree on: one target column, compared as it is."""

    higher_is_better = True
    default_net = ""
    target_kind: TargetKind = "class"
    augmentation = ""
    judged = False
    media = "application/json"

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> Prepared:
        raise NotImplementedError

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        raise NotImplementedError

    def class_names(self, target: Any) -> Sequence[str]:
        return ()

    def decode(self, columns: Columns, preprocessing: Mapping[str, Any]) -> dict[str, Array]:
        return self.prepare(preprocessing).decode(columns)

    def transform(self, arrays: Mapping[str, Array], preprocessing: Mapping[str, Any]) -> dict[str, Array]:
        return self.prepare(preprocessing).transform(arrays)

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        targets = {} if target is None else {"target": self.targets(target, labels)}
        return Examples(inputs=prepared.transform(prepared.decode(columns)), targets=targets)

    def exhibits(
        self, predict: Predict, prepared: Prepared, columns: Columns, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        return ()

    def sketched(
        self, sketches: Mapping[int, Mapping[str, Array]], examples: Examples, labels: Sequence[str]
    ) -> Sequence[Exhibit]:
        return ()

    def default_recipe(self, net: str) -> dict[str, Any]:
        return {"preprocessing": {}, "training": {}, "evaluation": {}}
