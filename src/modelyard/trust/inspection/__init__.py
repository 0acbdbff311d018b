"""What a model's file is, found out by reading it: no framework, no unpickler, no code of the file's.

`inspect` reads; `inspect_sandboxed` does so in a process of its own that is thrown away. A format is one file
here and one line in `inspect.py`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.trust.inspection.apart import inspect_sandboxed
    from modelyard.trust.inspection.contract import Inspection
    from modelyard.trust.inspection.source import inspect

__all__ = ["Inspection", "inspect", "inspect_sandboxed"]

_HOMES = {"Inspection": "contract", "inspect": "source", "inspect_sandboxed": "apart"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
