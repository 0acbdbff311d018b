"""What tasks of texts share as a Task: everything but the answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard.tasks import texts, vocabulary
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Columns, Examples, Prepared, TargetKind
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema


class TextTask(BaseTask):
    """The half of a Task that reads texts. See `contract.Task`."""

    name = ""
    target_kind: TargetKind = "class"
    augmentation = "text"
    options: type[vocabulary.TokenizerOptions] = vocabulary.TokenizerOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        return [vocabulary.text_column(schema, target, self.name)]

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        """A tokenizer. Models that are brought come with their own."""
        (column,) = columns
        learnt = vocabulary.learn(
            list(columns[column]), resolve(self.options, options, "preprocessing"), folder
        )
        return {"column": column, **learnt}

    def examples(self, prepared: Prepared, columns: Columns, target: Any, labels: Sequence[str]) -> Examples:
        """Tokens int64 [rows, longest], padded on the right, of several lengths."""
        tensors = prepared.transform(prepared.decode(columns))
        lengths = tensors["attention_mask"].sum(axis=1)
        targets = (
            {} if target is None or self.target_kind == "none" else {"target": self.targets(target, labels)}
        )
        return Examples(inputs=tensors, targets=targets, ragged=dict.fromkeys(tensors, lengths))

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing.get("column", texts.COLUMN))]

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> texts.PreparedTexts:
        return texts.PreparedTexts(preprocessing, folder)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return texts.sample(inputs)
