"""Conversion: a model that was brought, whatever made it, into a package.

One file a framework, one line in `table.FRAMEWORKS` (live objects) or `table.FORMATS` (files). Names load when they
are asked for: importing this room costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.conversion.contract import Options, Subject
    from modelyard.conversion.package_model import Packaged, package, package_file
    from modelyard.conversion.table import FORMATS, FRAMEWORKS

__all__ = ["FORMATS", "FRAMEWORKS", "Options", "Packaged", "Subject", "package", "package_file"]

_HOMES = {
    "FORMATS": "table",
    "FRAMEWORKS": "table",
    "Options": "contract",
    "Packaged": "package_model",
    "Subject": "contract",
    "package": "package_model",
    "package_file": "package_model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
