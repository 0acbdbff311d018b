"""The servers under test: how each is started, asked, measured and stopped."""

import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import peer_environments
import psutil

from modelyard import packages
from modelyard.home import Home
from modelyard.types.route import KeyGrant, Route, RouteVersion, Snapshot

HERE = Path(__file__).resolve().parent
KEY = "benchmark"


@dataclass
class Server:
    """Processes on a port. `headers` go with every request."""

    path: str
    port: int
    processes: list[subprocess.Popen[bytes]]
    headers: dict[str, str] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None

    def ask(self, body: bytes) -> list[float]:
        """One request's probabilities. Raises OSError or ValueError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Content-Type": "application/json", **self.headers}
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {text[:200]!r}")
        return list(json.loads(text)["outputs"][0]["data"])

    def wait(self, body: bytes, seconds: float = 90) -> list[float]:
        """The first answer. Raises the last error when none comes in time."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.ask(body)
            except (OSError, ValueError):
                if time.monotonic() > until or any(p.poll() is not None for p in self.processes):
                    raise
            time.sleep(0.1)

    def load(self, connections: int, seconds: float, body: Path | None) -> dict[str, float]:
        """wrk's figures, times in milliseconds, and the CPU microseconds of all server processes a
        request. Without a body: GET /v2/health/ready."""
        url = f"http://127.0.0.1:{self.port}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"]
        if body is None:
            command += ["-s", str(HERE / "get.lua"), f"{url}/v2/health/ready"]
        else:
            command += ["-s", str(HERE / "load.lua"), url + self.path, "--", str(body)]
            command += [f"{name}={value}" for name, value in self.headers.items()]
        before, machine, began = self._cpu(), _machine_cpu(), time.monotonic()
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        used, all_used = self._cpu() - before, _machine_cpu() - machine
        found = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out.stdout.rsplit("MEASURED", 1)[1])}
        cores = psutil.cpu_count() or 1
        return {
            "requests_per_second": found["requests"] / found["us"] * 1e6,
            "p50_ms": found["p50"] / 1e3,
            "p99_ms": found["p99"] / 1e3,
            "cpu_us": used / max(found["requests"], 1) * 1e6,
            "failed": found["failed"],
            "machine_busy": all_used / (time.monotonic() - began) / cores,
        }

    def stop(self) -> None:
        every = [p for process in self.processes for p in _tree(process.pid)]
        for process in every:
            _send(process, signal.SIGTERM)
        _, left = psutil.wait_procs(every, timeout=5)
        for process in left:
            _send(process, signal.SIGKILL)
        for process in self.processes:
            process.wait(10)
        if self.folder is not None:
            self.folder.cleanup()

    def _cpu(self) -> float:
        times = [p.cpu_times() for process in self.processes for p in _tree(process.pid)]
        return float(sum(t.user + t.system for t in times))


def modelyard(package: Path, replicas: int) -> Server:
    """Gateway and replicas as the launcher starts them; the gateway knows its routes from its kept
    snapshot."""
    folder = tempfile.TemporaryDirectory(prefix="bench-")
    home = Home(folder.name)
    home.create()
    digest = packages.digest(packages.read(package))
    sockets = [home.sockets / f"r{k}" for k in range(replicas)]
    home.gateway_snapshot.write_bytes(msgspec.json.encode(_snapshot(digest, sockets)))
    port = free_port()
    python = Path(sys.executable)
    processes = [
        _start(python, ["-m", "modelyard.serving.replica", "--package", package, "--digest", digest,
                        "--name", "fashion", "--version", "1", "--socket", at])
        for at in sockets
    ]  # fmt: skip
    gateway = ["-m", "modelyard.gateway", "--port", port, "--home", home.root]
    gateway += ["--control-url", f"http://127.0.0.1:{free_port()}"]
    processes.append(_start(python, gateway, YARD_GATEWAY_TOKEN=secrets.token_hex(16)))
    headers = {"Authorization": f"Bearer {KEY}"}
    return Server("/v2/models/fashion/infer", port, processes, headers, folder)


def litserve(package: Path, workers: int) -> Server:
    port = free_port()
    script = HERE / "peers" / "litserve_app.py"
    variables = {"BENCH_PORT": str(port), "BENCH_WORKERS": str(workers), "BENCH_MODEL": str(_onnx(package))}
    return Server("/predict", port, [_start(peer_environments.python_of("litserve"), [script], **variables)])


def fastapi(package: Path, workers: int) -> Server:
    port = free_port()
    options = ["-m", "uvicorn", "fastapi_app:app", "--app-dir", HERE / "peers", "--port", port]
    options += ["--workers", workers, "--no-access-log", "--log-level", "warning"]
    python = peer_environments.python_of("fastapi")
    return Server("/predict", port, [_start(python, options, BENCH_MODEL=str(_onnx(package)))])


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _snapshot(digest: str, sockets: list[Path]) -> Snapshot:
    import hmac

    secret = secrets.token_hex(32)
    hashed = hmac.digest(bytes.fromhex(secret), KEY.encode(), "sha256").hex()
    addresses = tuple(f"unix:{s}" for s in sockets)
    version = RouteVersion(version="1", digest=digest, weight=1.0, replicas=addresses)
    route = Route(
        tenant="default",
        name="fashion",
        model="fashion",
        task="image-classification",
        revision=1,
        created_at=0.0,
        versions=(version,),
    )
    grant = KeyGrant(id="1", tenant="default", scopes=("predict",))
    return Snapshot(secret=secret, keys={hashed: grant}, routes=(route,))


def _onnx(package: Path) -> Path:
    return package / packages.read(package).formats["onnx"]


def _start(python: Path, arguments: list[Any], **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(python), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _machine_cpu() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)
