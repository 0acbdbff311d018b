"""Tasks: what a sample, an answer and a good answer are. One file and one line here each.

To add a task: write `tasks/<name>.py` with a `TASK` that has what `contract.Task` says, and add its line.
"""

import importlib
from typing import Final

from modelyard.errors import UnknownName
from modelyard.tasks.contract import Columns, Prepared, Task

__all__ = ["TASKS", "Columns", "Prepared", "Task", "load"]

TASKS: Final[dict[str, str]] = {
    "audio-classification": "modelyard.tasks.audio_classification",
    "automatic-speech-recognition": "modelyard.tasks.automatic_speech_recognition",
    "feature-extraction": "modelyard.tasks.feature_extraction",
    "image-classification": "modelyard.tasks.image_classification",
    "object-detection": "modelyard.tasks.object_detection",
    "rating-prediction": "modelyard.tasks.rating_prediction",
    "recommendation": "modelyard.tasks.recommendation",
    "tabular-classification": "modelyard.tasks.tabular_classification",
    "tabular-regression": "modelyard.tasks.tabular_regression",
    "tensors": "modelyard.tasks.tensors",
    "text-autoencoding": "modelyard.tasks.text_autoencoding",
    "text-classification": "modelyard.tasks.text_classification",
    "text-generation": "modelyard.tasks.text_generation",
    "text-to-image": "modelyard.tasks.text_to_image",
    "time-series-forecasting": "modelyard.tasks.time_series_forecasting",
    "translation": "modelyard.tasks.translation",
    "unconditional-image-generation": "modelyard.tasks.unconditional_image_generation",
}
"""Task name -> the module that has it as TASK."""


def load(name: str) -> Task:
    """The task of this name. Raises UnknownName with the nearest."""
    if name not in TASKS:
        raise UnknownName("task", name, TASKS)
    task: Task = importlib.import_module(TASKS[name]).TASK
    return task
