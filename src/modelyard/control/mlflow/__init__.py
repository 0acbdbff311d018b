"""MLflow's REST, for its unmodified clients: experiments, runs, artifacts, logged models, the registry.

Learned from what mlflow-skinny 3.17 sends to MLflow's own server (https://mlflow.org/docs/latest/rest-api.html).
One file a noun, each with its table of OPERATIONS.
"""

from typing import Final

PREFIXES: Final = ("/api/2.0/mlflow", "/api/3.0/mlflow")
VERSION: Final = "3.17.2"
"""The version of MLflow whose words are spoken here."""


def speaks(path: str) -> bool:
    """Whether a path is MLflow's, so that its errors have MLflow's shape."""
    return path.startswith(PREFIXES)
