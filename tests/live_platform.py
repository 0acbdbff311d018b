"""A launcher with all that it starts, on a home."""

import os
import signal
import subprocess
import sys
from typing import Any

import httpx
import msgspec

from control_seed import LiveControl
from modelyard.cluster.connection import Connection
from modelyard.errors import Unavailable
from waiting import wait_until


class LivePlatform(LiveControl):
    """Everything, started by a launcher. `child` is the launcher."""

    def start(self) -> None:
        with self.log.open("ab") as out:
            argv = [sys.executable, "-m", "modelyard.cluster.launcher", "--home", str(self.home.root)]
            self.child = subprocess.Popen(argv, stdout=out, stderr=out)
        url = self.config.control_url
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self.again()
        key = msgspec.json.decode(self.home.credentials.read_bytes())["api_key"]
        self.http.headers["Authorization"] = f"Bearer {key}"

    def __exit__(self, *_: object) -> None:
        self.http.close()
        try:
            Connection(self.home.launcher_socket).stop()
        except Unavailable:
            self.child.kill()
        self.child.wait(timeout=30)

    def again(self) -> None:
        """Wait for control to answer."""
        wait_until(self._health, 20, "control")

    def pids(self) -> dict[str, int]:
        return {p.id: p.pid for p in Connection(self.home.launcher_socket).table().processes if p.pid}

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        pid = wait_until(lambda: self.pids().get(name), 10, name)
        os.kill(pid, number)
        return pid

    def serves(self, name: str) -> str | None:
        """The version that answered, or None."""
        column = {"datatype": "FP64", "shape": [1], "data": [0.5]}
        body = {"inputs": [{"name": n, **column} for n in ("a", "b")]}
        try:
            response = httpx.post(f"{self.config.gateway_url}/v2/models/{name}/infer", json=body, trust_env=False,
                                  headers={"Authorization": self.http.headers["Authorization"]})  # fmt: skip
        except httpx.TransportError:
            return None
        return str(response.json()["model_version"]) if response.status_code == 200 else None

    def deployment(self, name: str, state: str) -> Any:
        """The deployment when it is in this state."""
        return wait_until(lambda: (d := self.get(f"deployments/{name}"))["state"] == state and d, 20, state)

    def _health(self) -> bool:
        try:
            return self.http.get("/api/v1/health").status_code == 200
        except httpx.TransportError:
            return False
