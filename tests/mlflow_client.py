"""The stock MLflow client (mlflow-skinny), unchanged, against a control of ours."""

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "NO_PROXY": "127.0.0.1",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@contextmanager
def stock_client(url: str, key: str) -> Iterator["MlflowClient"]:
    """A client that shows `key`; what it is told by the environment is taken back at the end."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, MLFLOW_TRACKING_TOKEN=key)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports
            from mlflow import MlflowClient

            yield MlflowClient(tracking_uri=url, registry_uri=url)
    finally:
        _close_sessions()
        os.environ.clear()
        os.environ.update(before)


def _close_sessions() -> None:
    """The client keeps its connections for as long as the process lives."""
    import requests

    for session in [o for o in gc.get_objects() if isinstance(o, requests.Session)]:
        session.close()


def run_script(text: str, url: str, key: str, folder: Path, **environment: str) -> str:
    """What a user's script prints; `MLFLOW_TRACKING_URI` and the token are in its environment."""
    script = folder / "train.py"
    script.write_text(text)
    whole = {
        **os.environ,
        **ENVIRONMENT,
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_TOKEN": key,
        **environment,
    }
    done = subprocess.run([sys.executable, str(script)], env=whole, cwd=folder, capture_output=True, text=True,
                          timeout=150)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
