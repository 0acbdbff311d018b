"""What tasks of texts share as a Task: everything but the answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from modelyard.errors import InvalidInput
from modelyard.tasks import texts
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Columns, TargetKind
from modelyard.types.dataset import Schema


class TextOptions(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to fit yet: the tokenizer comes with the model."""


class TextTask(BaseTask):
    """The half of a Task that reads texts. See `contract.Task`."""

    name = ""
    target_kind: TargetKind = "class"
    options = TextOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        raise InvalidInput(
            f"models of the task {self.name!r} are brought, not trained by a recipe",
            allowed="yard run, yard models import",
        )

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        raise InvalidInput(f"the task {self.name!r} has nothing to fit: the tokenizer comes with the model")

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [str(preprocessing.get("column", texts.COLUMN))]

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> texts.PreparedTexts:
        return texts.PreparedTexts(preprocessing, folder)

    def sample(self, inputs: Any) -> dict[str, Any]:
        return texts.sample(inputs)
