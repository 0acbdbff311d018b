"""Importing scikit-learn where it may be missing."""

import importlib
from types import ModuleType

from modelyard.errors import MissingExtra


def sklearn(module: str) -> ModuleType:
    """`sklearn.<module>`. Raises MissingExtra."""
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtra("scikit-learn", "sklearn") from error
