"""Serving beside LitServe and FastAPI with ONNX Runtime: the Fashion-MNIST cnn, JSON, one machine, one run.

Run: make bench, or python benchmarks/serving.py [--rounds 3] [--seconds 5] [--connections 64]

Every server gets the same Open Inference Protocol body, its answer is checked against ONNX Runtime, and the
servers take turns, round after round; the median of the rounds counts. wrk shares the cores with them. The
raw figure is ONNX Runtime alone in one process, the best of several batch sizes. Writes results/serving.json.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
import peer_environments
import serving_model
import serving_servers
from serving_servers import Server

from modelyard import engines

SERVERS: dict[str, Callable[[Path], Server]] = {
    "modelyard, 1 replica": lambda package: serving_servers.modelyard(package, 1),
    "modelyard, 2 replicas": lambda package: serving_servers.modelyard(package, 2),
    "litserve, 1 worker": lambda package: serving_servers.litserve(package, 1),
    "litserve, 2 workers": lambda package: serving_servers.litserve(package, 2),
    "fastapi, 2 workers": lambda package: serving_servers.fastapi(package, 2),
}
FIGURES = ("requests_per_second", "p50_ms", "p99_ms", "cpu_us", "machine_busy")


def main() -> int:
    arguments = _arguments()
    if shutil.which("wrk") is None:
        print("wrk is not installed; on Debian: apt-get install wrk", file=sys.stderr)
        return 1
    package = serving_model.package()
    for peer in peer_environments.SERVING:
        peer_environments.python_of(peer)
    model = engines.open_model(package)
    pixels = serving_model.images(model)
    raw = {rows: serving_model.raw_cpu_us(model, pixels, rows) for rows in (1, 8, 16, 64)}
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        body.write_bytes(serving_model.body(pixels[0]))
        expected = model.predict({"image": pixels[:1]})["probabilities"][0]
        rounds = [_round(package, body, expected, arguments) for _ in range(arguments.rounds)]
    result = _summary(rounds, raw, arguments)
    _print(result)
    print("written:", machine.write("serving", result).name)
    return 0 if all(goal["reached"] for goal in result["goals"].values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serving beside LitServe and FastAPI.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    return parser.parse_args()


def _round(
    package: Path, body: Path, expected: np.ndarray[Any, Any], arguments: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, start in SERVERS.items():
        server = start(package)
        try:
            answer = server.wait(body.read_bytes())
            np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-5)
            server.load(arguments.connections, 1, body)
            found[name] = server.load(arguments.connections, arguments.seconds, body)
            found[name]["one_connection"] = server.load(1, 2, body)
            if name.startswith("modelyard"):
                found[name]["health"] = server.load(1, 2, None)
        finally:
            server.stop()
        if found[name]["failed"]:
            raise RuntimeError(f"{name}: {found[name]['failed']:.0f} requests failed")
        print(f"  {name:24}{found[name]['requests_per_second']:10.0f}/s", flush=True)
    return found


def _summary(
    rounds: list[dict[str, dict[str, Any]]], raw: dict[int, float], arguments: argparse.Namespace
) -> dict[str, Any]:
    best_raw = min(raw.values())
    rows: dict[str, dict[str, Any]] = {}
    for name in SERVERS:
        each = [one[name] for one in rounds]
        row = {figure: _median(each, figure) for figure in FIGURES}
        row["times_raw_cpu"] = row["cpu_us"] / best_raw
        row["one_connection_p50_ms"] = _median([e["one_connection"] for e in each], "p50_ms")
        if "health" in each[0]:
            row["health_p50_ms"] = _median([e["health"] for e in each], "p50_ms")
        rows[name] = row
    return {
        "settings": {
            "connections": arguments.connections,
            "seconds": arguments.seconds,
            "rounds": arguments.rounds,
        },
        "raw_cpu_us_per_row": raw,
        "servers": rows,
        "goals": _goals(rows),
        "rounds": rounds,
    }


def _median(rows: list[dict[str, Any]], figure: str) -> float:
    return float(statistics.median(row[figure] for row in rows))


def _goals(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Against LitServe's better setting of each figure."""
    peers = [row for name, row in rows.items() if name.startswith("litserve")]
    ours = [row for name, row in rows.items() if name.startswith("modelyard")]
    speed = max(r["requests_per_second"] for r in ours) / max(r["requests_per_second"] for r in peers)
    tail = min(r["p99_ms"] for r in ours) / min(r["p99_ms"] for r in peers)
    return {
        "requests a second, times LitServe's": _goal(speed, 3, at_least=True),
        "p99, times LitServe's": _goal(tail, 0.5),
        "CPU a request, times raw ONNX Runtime's": _goal(min(r["times_raw_cpu"] for r in ours), 5),
        "p50 of a prediction at one connection, ms": _goal(min(r["one_connection_p50_ms"] for r in ours), 1),
        "p50 of /v2/health/ready at one connection, ms": _goal(min(r["health_p50_ms"] for r in ours), 1),
    }


def _goal(value: float, bound: float, *, at_least: bool = False) -> dict[str, Any]:
    reached = value >= bound if at_least else value <= bound
    return {"value": value, "bound": bound, "reached": reached}


def _print(result: dict[str, Any]) -> None:
    raw = ", ".join(f"{us:.1f} at {rows}" for rows, us in result["raw_cpu_us_per_row"].items())
    print(f"\nraw ONNX Runtime, CPU us a row, by batch size: {raw}")
    print(f"{'':24}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'x raw':>7}{'1 conn p50 ms':>15}")
    for name, row in result["servers"].items():
        print(
            f"{name:24}{row['requests_per_second']:10.0f}{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}"
            f"{row['cpu_us']:9.1f}{row['times_raw_cpu']:7.2f}{row['one_connection_p50_ms']:15.3f}"
        )
    for what, goal in result["goals"].items():
        verdict = "reached" if goal["reached"] else "MISSED"
        print(f"{verdict:8} {what}: {goal['value']:.3g} (bound {goal['bound']})")


if __name__ == "__main__":
    sys.exit(main())
