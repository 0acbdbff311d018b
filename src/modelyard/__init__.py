"""Modelyard: a Model-as-a-Service platform that a team runs itself.

    import modelyard
    yard = modelyard.Client()                       # a platform, from outside
    modelyard.log_metrics({"loss": 0.1}, step=3)    # in a script or a notebook: see modelyard.tracking

Everything is imported when it is first used, so that `import modelyard` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

from modelyard.version import __version__

if TYPE_CHECKING:
    from modelyard.client import Client as Client
    from modelyard.errors import ModelyardError as ModelyardError
    from modelyard.tracking import checkpoints as checkpoints
    from modelyard.tracking import dataset as dataset
    from modelyard.tracking import end_run as end_run
    from modelyard.tracking import log_artifact as log_artifact
    from modelyard.tracking import log_metric as log_metric
    from modelyard.tracking import log_metrics as log_metrics
    from modelyard.tracking import log_model as log_model
    from modelyard.tracking import log_progress as log_progress
    from modelyard.tracking import log_summary as log_summary
    from modelyard.tracking import params as params
    from modelyard.tracking import start_run as start_run


_TRACKING = (
    "checkpoints",
    "dataset",
    "end_run",
    "log_artifact",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_progress",
    "log_summary",
    "params",
    "start_run",
)
_LAZY = {
    "Client": "modelyard.client",
    "ModelyardError": "modelyard.errors",
    **dict.fromkeys(_TRACKING, "modelyard.tracking"),
}

__all__ = ["Client", "ModelyardError", "__version__", *_TRACKING]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
