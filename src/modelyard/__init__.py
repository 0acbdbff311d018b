"""Modelyard: a Model-as-a-Service platform that a team runs itself.

    import modelyard
    yard = modelyard.Client()

Everything is imported when it is first used, so that `import modelyard` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

from modelyard.version import __version__

if TYPE_CHECKING:
    from modelyard.client import Client as Client
    from modelyard.errors import ModelyardError as ModelyardError


__all__ = ["Client", "ModelyardError", "__version__"]

_LAZY = {"Client": "modelyard.client", "ModelyardError": "modelyard.errors"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
