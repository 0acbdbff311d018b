import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from control_seed import LiveControl, write_config
from mlflow_client import stock_client
from modelyard.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

_numbers = count(1)


@dataclass
class Server:
    """A live control, the stock client, and raw requests beside it."""

    control: LiveControl
    client: "MlflowClient"

    @property
    def url(self) -> str:
        return self.control.config.control_url

    @property
    def key(self) -> str:
        return str(self.control.http.headers["authorization"]).removeprefix("Bearer ")

    def experiment(self) -> str:
        """A fresh one."""
        return str(self.client.create_experiment(f"experiment {next(_numbers)}"))

    def run(self) -> Any:
        return self.client.create_run(self.experiment())

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """`path` below /api/2.0/mlflow, or a whole one."""
        whole = path if path.startswith("/api/") else f"/api/2.0/mlflow/{path}"
        return self.control.http.request(method, whole, **options)

    def refused(self, method: str, path: str, status: int, code: str, **options: Any) -> str:
        """That a request is refused in MLflow's shape; its message."""
        response = self.ask(method, path, **options)
        assert (response.status_code, response.json()["error_code"]) == (status, code), response.text
        assert set(response.json()) == {"error_code", "message", "request_id"}
        assert "Traceback" not in response.text
        assert "/tmp" not in response.text
        return str(response.json()["message"])


@pytest.fixture(scope="session")
def server(opened_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of this folder: each has experiments and names of its own."""
    root = tmp_path_factory.mktemp("mlflow") / "home"
    shutil.copytree(opened_home, root)
    home = Home(root)
    write_config(home)
    with LiveControl(home) as control:
        key = str(control.http.headers["authorization"]).removeprefix("Bearer ")
        with stock_client(control.config.control_url, key) as client:
            yield Server(control, client)
