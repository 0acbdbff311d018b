"""What a script or a notebook says while it works: data in, metrics, models and artifacts out.

    import modelyard
    x_train, y_train, x_test, y_test = modelyard.dataset("digits").arrays()
    modelyard.log_metrics({"loss": 0.3}, step=1)
    modelyard.log_model(model, name="digits", task="image-classification", example=x_test[:64])

Inside a run (`yard run`) it goes through the run's own process; anywhere else, against the platform that
YARD_URL or YARD_HOME names, as a run of kind `external` that begins with the first word and ends with the
process.
"""

from modelyard.tracking.data import ScriptDataset
from modelyard.tracking.session import (
    checkpoints,
    dataset,
    end_run,
    log_artifact,
    log_metric,
    log_metrics,
    log_model,
    log_progress,
    log_summary,
    params,
    start_run,
)

__all__ = [
    "ScriptDataset",
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
]
