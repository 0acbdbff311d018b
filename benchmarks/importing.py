"""How long a 2 GB model takes to import, against a copy on the same disk, and how much memory every process holds.

Makes a seeded GGUF file of 2 GiB in a temporary folder, copies it there and syncs (the disk's copy speed), then
starts a platform beside it and imports the file with the client, over HTTP. Peaks of resident memory are read
every 20 ms from each process of the platform, its sandboxes among them, and of the client. Writes
results/importing.json. Exits with 1 where the import is slower than half of the copy, or a process held more
than 300 MB.

    python benchmarks/importing.py [--bytes N] [--seed N] [--repeat N] [--folder DIR]
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import machine
import psutil

LIMIT = 300_000_000  # bytes of RSS, in each process
LEAST = 0.5  # of the copy's speed
_PART = 4 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=2 << 30, help="size of the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go, on the disk that is meant")
    parser.add_argument("--child", nargs=2, metavar=("HOME", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return bring(Path(arguments.child[0]), Path(arguments.child[1]))
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-", dir=arguments.folder) as folder:
        rounds = [measure(Path(folder), arguments.bytes, arguments.seed + k) for k in range(arguments.repeat)]
    best = max(rounds, key=lambda r: r["share_of_copy"])
    peaks = {
        name: max(r["peak_rss_bytes"].get(name, 0) for r in rounds) for name in rounds[0]["peak_rss_bytes"]
    }
    result = {
        "model_bytes": arguments.bytes,
        "least_share_of_copy": LEAST,
        "limit_rss_bytes": LIMIT,
        "median_share_of_copy": sorted(r["share_of_copy"] for r in rounds)[len(rounds) // 2],
        "best_share_of_copy": best["share_of_copy"],
        "peak_rss_bytes": peaks,
        "rounds": rounds,
    }
    print(machine.write("importing", result, seed=arguments.seed).read_text())
    return 0 if result["median_share_of_copy"] >= LEAST and max(peaks.values()) < LIMIT else 1


def measure(folder: Path, size: int, seed: int) -> dict[str, Any]:
    """One model: the copy, then the import, from the same warm file."""
    source = folder / "source.gguf"
    make(source, size, seed)
    copied = copy(source, folder / "copy.gguf")
    os.sync()
    home = folder / f"home-{seed}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YARD_")} | {
        "YARD_HOME": str(home)
    }
    yard = [sys.executable, "-m", "modelyard.cli"]
    subprocess.run(
        [*yard, "up", "--detach", "--port", "0", "--control-port", "0"],
        env=environment,
        check=True,
        capture_output=True,
    )
    try:
        seconds, peaks = imported(home, source)
    finally:
        subprocess.run([*yard, "down"], env=environment, check=True, capture_output=True)
        shutil.rmtree(home)
    return {
        "copy_seconds": round(copied, 2),
        "import_seconds": round(seconds, 2),
        "copy_bytes_per_second": round(size / copied),
        "import_bytes_per_second": round(size / seconds),
        "share_of_copy": round(copied / seconds, 3),
        "peak_rss_bytes": peaks,
    }


def make(path: Path, size: int, seed: int) -> None:
    """A GGUF of one F32 tensor whose numbers do not repeat."""
    import numpy as np

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = (
        b"GGUF"
        + struct.pack("<IQQ", 3, 1, 1)
        + text("general.architecture")
        + struct.pack("<I", 8)
        + text("llama")
    )
    head += text("weight") + struct.pack("<IQIQ", 1, size // 4, 0, 0)
    draw = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % 32))
        for _ in range(0, size, _PART):
            file.write(draw.bytes(_PART))
        file.flush()
        os.fsync(file.fileno())


def copy(source: Path, target: Path) -> float:
    """Seconds of a plain copy that is on the disk at its end."""
    start = time.perf_counter()
    with source.open("rb") as reader, target.open("wb") as writer:
        while part := reader.read(_PART):
            writer.write(part)
        writer.flush()
        os.fsync(writer.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def imported(home: Path, source: Path) -> tuple[float, dict[str, int]]:
    """Seconds until the version is there, and the peak of each process by its name."""
    watched = Peaks()
    command = [sys.executable, __file__, "--child", str(home), str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watched.start(child.pid, home)
        out, _ = child.communicate()
    peaks = watched.stop()
    if child.returncode != 0:
        raise SystemExit("the import failed")
    return float(json.loads(out)["seconds"]), peaks


def bring(home: Path, model: Path) -> int:
    """In the client's process: import, print seconds."""
    import modelyard
    from modelyard.home import Home

    client = modelyard.Client(home=Home(home))
    client.status()
    start = time.perf_counter()
    run = client.models.import_(model, "large")
    seconds = time.perf_counter() - start
    assert run.outputs["model"]["version"] == 1
    print(json.dumps({"seconds": seconds}))
    return 0


class Peaks:
    """The most resident memory that each kind of process held. What a file's pages take of it counts too."""

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}
        self._end = threading.Event()

    def start(self, client: int, home: Path) -> None:
        self._client, self._home = client, str(home)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> dict[str, int]:
        self._end.set()
        self._thread.join()
        return self._peaks

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            for process in psutil.process_iter(["pid", "cmdline"]):
                name = self._name(process.info["pid"], " ".join(process.info["cmdline"] or ()))
                if name is not None and (peak := _peak(process.info["pid"])) > self._peaks.get(name, 0):
                    self._peaks[name] = peak

    def _name(self, pid: int, command: str) -> str | None:
        if pid == self._client:
            return "client"
        if self._home not in command:
            return None
        for part, name in (
            ("modelyard.control", "control"),
            ("trust.inspection", "inspection"),
            ("runs.process", "run"),
            ("cluster.launcher", "launcher"),
            ("gateway", "gateway"),
        ):
            if part in command:
                return name
        return "other"


def _peak(pid: int) -> int:
    """Bytes (VmHWM)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:", 1)[1].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
