"""What augmentation of a kind of rows is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from modelyard.tasks.contract import Examples
from modelyard.types.report import Exhibit


class Augmenter(Protocol):
    """Made of a recipe's options and the `Job`, which raises InvalidInput where its rows cannot be changed so. It
    sees batches of training rows alone, never of validation."""

    def __call__(self, batch: Examples, random: np.random.Generator) -> Examples:
        """The batch changed, its arrays new. All draws come from `random`."""

    def exhibit(self, rows: Examples, drawn: Sequence[Examples]) -> Exhibit:
        """Rows as they are beside what was drawn of them, for the report's page."""
