"""One row of a data set."""

import base64
from typing import Any, ClassVar

from modelyard.client.record import Record


class Sample(Record):
    """`sample["image"]` is a column's value (encoded files as bytes); `features` is what a deployment is
    asked with and `label` the value that it should answer."""

    shown: ClassVar[tuple[str, ...]] = ("dataset", "split", "row", "label")

    def __getitem__(self, key: str) -> Any:
        value = self.raw["values"][key]
        return base64.b64decode(value) if key in self.raw["encoded"] else value

    @property
    def dataset(self) -> str:
        return f"{self.raw['dataset']}:{self.raw['version']}"

    @property
    def split(self) -> str:
        return str(self.raw["split"])

    @property
    def row(self) -> int:
        return int(self.raw["row"])

    @property
    def label(self) -> Any:
        return self.raw["values"].get(self.raw["label"])

    @property
    def features(self) -> dict[str, Any]:
        """Every column but the label."""
        return {name: self[name] for name in self.raw["values"] if name != self.raw["label"]}
