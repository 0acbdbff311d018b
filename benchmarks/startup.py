"""How long the first steps take: `import modelyard`, `yard up`, and the demo, and how large the core
install is.

usage: python benchmarks/startup.py [--no-install]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import machine

ROOT = Path(__file__).resolve().parent.parent


def import_seconds(rounds: int = 11) -> list[float]:
    """Wall time of a fresh interpreter that imports modelyard, less that of one that imports nothing."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return [once("import modelyard; modelyard.Client") - once("pass") for _ in range(rounds)]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def up_seconds(home: Path) -> tuple[float, float]:
    """Seconds until gateway and control both answer: at the first start (it makes the database), at the
    second."""
    yard = Path(sys.executable).with_name("yard")
    ports = free_port(), free_port()
    env = {**os.environ, "YARD_HOME": str(home)}
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(
            [yard, "up", "--detach", "--port", str(ports[0]), "--control-port", str(ports[1])],
            check=True,
            env=env,
            stdout=subprocess.DEVNULL,
        )
        for url in (
            f"http://127.0.0.1:{ports[0]}/v2/health/live",
            f"http://127.0.0.1:{ports[1]}/api/v1/health",
        ):
            urllib.request.urlopen(url, timeout=5).read()
        times.append(time.perf_counter() - start)
        subprocess.run([yard, "down"], check=True, env=env, stdout=subprocess.DEVNULL)
    return times[0], times[1]


def demo_seconds() -> float:
    """From starting the platform to the first answered prediction, as the demo says it."""
    demo = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return float(demo.stdout.split("From nothing to the last answer: ")[1].split()[0])


def core_megabytes(folder: Path) -> float:
    """Size on disk of what `pip install modelyard` (no extra) brings into a fresh virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(folder / "bin" / "python"),
            "install",
            "-q",
            "-c",
            str(ROOT / "constraints.txt"),
            str(ROOT),
        ],
        check=True,
    )
    total = subprocess.run(["du", "-sm", str(folder)], check=True, capture_output=True, text=True)
    return float(total.stdout.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-install", action="store_true", help="leave the size of the core install out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="yard-startup-") as scratch:
        imports = import_seconds()
        first, second = up_seconds(Path(scratch) / "home")
        result = {
            "import_modelyard_s": {"median": statistics.median(imports), "max": max(imports), "limit": 0.3},
            "yard_up_s": {"first": first, "second": second, "limit": 5.0},
        }
        result["demo_s"] = {"value": demo_seconds(), "limit": 60}
        if not options.no_install:
            result["core_install_mb"] = {"value": core_megabytes(Path(scratch) / "venv"), "limit": 700}
    print(json.dumps(result, indent=2))
    print("written:", machine.write("startup", result).relative_to(ROOT))


if __name__ == "__main__":
    main()
