"""The stock MLflow client against this platform and against MLflow's own server, in one run: metrics in batches and
one by one, a search, a file up and down.

usage: python benchmarks/tracking.py [--rounds 3]

MLflow's server gets a virtual environment of its own under .bench; its database is SQLite, as ours.
"""

import argparse
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import machine
import peer_environments
from scripts import platform

ROOT = Path(__file__).resolve().parent.parent
_BEGAN = 1_700_000_000_000  # milliseconds
POINTS, BATCH = 10_000, 1000
SINGLE = 200
RUNS = 300
FILE_BYTES = 100 << 20


@contextlib.contextmanager
def ours() -> Iterator[dict[str, str]]:
    """The client's environment for this platform, through its gateway."""
    with platform() as yard:
        yield {"MLFLOW_TRACKING_URI": yard.gateway_url, "MLFLOW_TRACKING_TOKEN": str(yard.settings.api_key)}


@contextlib.contextmanager
def mlflows(python: Path) -> Iterator[dict[str, str]]:
    """The same for MLflow's own server."""
    import socket
    import urllib.request

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="mlflow-server-") as folder:
        argv = [
            python,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ]
        argv += [
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination",
            f"{folder}/files",
        ]
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(argv, stdout=quiet, stderr=quiet, start_new_session=True, cwd=folder)
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/health", timeout=2).read()
                    break
                time.sleep(0.1)
            yield {"MLFLOW_TRACKING_URI": url}
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=30)


def measure(rounds: int) -> dict[str, list[float]]:
    """In the client's own process: seconds of each thing, in every round."""
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    experiment = client.create_experiment(f"benchmark {secrets.token_hex(4)}")
    found: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        answer = work()
        found.setdefault(name, []).append(time.perf_counter() - start)
        return answer

    def batches(run: str) -> None:
        for start in range(0, POINTS, BATCH):
            points = [
                Metric("loss", 1.0 / (k + 1), 1_700_000_000_000 + k, k) for k in range(start, start + BATCH)
            ]
            client.log_batch(run, metrics=points)

    def single(run: str) -> None:
        for k in range(SINGLE):
            client.log_metric(run, "single", float(k), step=k)

    for k in range(RUNS):
        run = client.create_run(experiment, run_name=f"run {k}").info.run_id
        client.log_batch(run, metrics=[Metric("score", k / RUNS, _BEGAN, 0)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.bin"
        path.write_bytes(os.urandom(1 << 20) * (FILE_BYTES >> 20))
        for _ in range(rounds):
            run = client.create_run(experiment).info.run_id
            timed("batches_s", lambda run=run: batches(run))
            timed("single_s", lambda run=run: single(run))
            timed("history_s", lambda run=run: len(client.get_metric_history(run, "loss")))
            timed(
                "search_s", lambda: client.search_runs([experiment], "metrics.score > 0.5", max_results=1000)
            )
            timed("upload_s", lambda run=run: client.log_artifact(run, str(path)))
            timed("download_s", lambda run=run: client.download_artifacts(run, "file.bin", folder))
    return found


def asked(environment: dict[str, str], rounds: int) -> dict[str, float]:
    """The medians of a client in a process of its own."""
    env = {**os.environ, **environment, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    argv = [sys.executable, __file__, "--rounds", str(rounds), "--client"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=600)
    return {k: statistics.median(v) for k, v in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(measure(options.rounds)))
        return
    peer = peer_environments.python_of("mlflow")
    result: dict[str, Any] = {"points": POINTS, "single": SINGLE, "runs": RUNS, "file_bytes": FILE_BYTES}
    with ours() as environment:
        result["modelyard"] = asked(environment, options.rounds)
    with mlflows(peer) as environment:
        result["mlflow"] = asked(environment, options.rounds)
    print(json.dumps(result, indent=2))
    print("written:", machine.write("tracking", result).relative_to(ROOT))


if __name__ == "__main__":
    main()
