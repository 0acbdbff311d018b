"""What it costs to bring one's own: a script as a run beside the same script by hand, ten thousand metrics, and the
time from `log_model` to a served answer for each script of examples/frameworks/.

usage: python benchmarks/scripts.py [--rounds 7] [--only NAME]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import machine

import modelyard
from modelyard.home import Home

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "frameworks"
YARD = Path(sys.executable).with_name("yard")
POINTS = 10_000
PLAIN = "import numpy\nprint(numpy.arange(10).sum())\n"
METRICS = f"""
import time, modelyard
modelyard.params()  # the run is open
start = time.perf_counter()
for step in range({POINTS}):
    modelyard.log_metrics({{"loss": 1.0 / (step + 1)}}, step=step)
modelyard.end_run()  # what waits is sent
modelyard.log_summary(calls=time.perf_counter() - start)
"""
STAMPED = """
import time, modelyard
_log_model = modelyard.log_model
def _stamped(*given, **named):
    modelyard.log_summary(log_model_at=time.time())
    return _log_model(*given, **named)
modelyard.log_model = _stamped
"""
DATA = {"tensorflow_binary": "breast-cancer", "sklearn_decision_tree": "wine", "sklearn_columns": "penguins",
        "sklearn_linear_regression": "diabetes", "sklearn_polynomial_regression": "diabetes"}  # fmt: skip
PARAMS = {"tensorflow_flatten": {"data": "digits", "epochs": 1}}


@contextmanager
def platform() -> Iterator[modelyard.Client]:
    """A platform of its own, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="yard-scripts-") as folder:
        env = {**os.environ, "YARD_HOME": folder}
        up = [YARD, "up", "--detach", "--port", "0", "--control-port", "0"]
        subprocess.run(up, check=True, env=env, stdout=subprocess.DEVNULL)
        try:
            yield modelyard.Client(home=Home(folder))
        finally:
            subprocess.run([YARD, "down"], check=True, env=env, stdout=subprocess.DEVNULL)


def overhead(yard: modelyard.Client, folder: Path, rounds: int) -> dict[str, Any]:
    """Wall time of a run, from the call to its known end, less that of the same script by hand, in turn."""
    script = folder / "plain.py"
    script.write_text(PLAIN)
    extra, by_hand = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, script], check=True, stdout=subprocess.DEVNULL)
        hand = time.perf_counter() - start
        start = time.perf_counter()
        yard.run(script)
        extra.append(time.perf_counter() - start - hand)
        by_hand.append(hand)
    hand = statistics.median(by_hand)
    return {"median": statistics.median(extra), "max": max(extra), "by_hand": hand, "limit": 1.5}


def metrics(yard: modelyard.Client, folder: Path, rounds: int) -> dict[str, Any]:
    """What 10,000 calls and sending them cost the script; every point has arrived when the run has ended."""
    script = folder / "metrics.py"
    script.write_text(METRICS)
    calls = []
    for _ in range(rounds):
        run = yard.run(script)
        calls.append(run.summary["calls"])
        arrived = len(run.metrics()["loss"])
        if arrived != POINTS:
            raise SystemExit(f"{arrived} of {POINTS} points arrived")
    return {"median": statistics.median(calls), "max": max(calls), "points": POINTS, "limit": 1.0}


def to_answer(yard: modelyard.Client, folder: Path, name: str) -> dict[str, float]:
    """Seconds from the call of log_model to the first answered prediction; `packaging` until the run has ended."""
    script = folder / f"{name}.py"
    script.write_text(STAMPED + (EXAMPLES / f"{name}.py").read_text())
    data = DATA.get(name, "digits")
    run = yard.run(script, data=[data], params=PARAMS.get(name, {}))
    ended = time.time()
    model = run.outputs["models"][0]["name"]
    yard.deploy(model, model)
    sample = yard.data.sample(data)
    yard.predict(model, question(yard, model, sample))
    began = run.summary["log_model_at"]
    return {"packaging": ended - began, "answered": time.time() - began}


def question(yard: modelyard.Client, model: str, sample: Any) -> Any:
    """What the model is asked with: an image, a row, or (of a sequence) rows of pixels."""
    if yard.models.show(model).task == "tensors":
        return [[[0.5] * 8] * 6]
    return sample["image"] if "image" in sample.raw["values"] else sample.features


def penguins() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("palmerpenguins")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "penguins.csv"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="one of the examples alone, by its name; nothing is written then")
    options = parser.parse_args()
    names = [options.only] if options.only else sorted(p.stem for p in EXAMPLES.glob("*.py"))
    with tempfile.TemporaryDirectory(prefix="yard-scripts-files-") as scratch, platform() as yard:
        folder = Path(scratch)
        result: dict[str, Any] = {}
        if not options.only:
            result["overhead_s"] = overhead(yard, folder, options.rounds)
            result["metrics_s"] = metrics(yard, folder, options.rounds)
        for data in ("digits", "breast-cancer", "wine", "diabetes"):
            yard.data.add(data)
        yard.data.add("penguins", penguins(), label="species")
        result["to_answer_s"] = {name: to_answer(yard, folder, name) for name in names}
        result["to_answer_limit"] = 10.0
    print(json.dumps(result, indent=2))
    if not options.only:
        print("written:", machine.write("scripts", result).relative_to(ROOT))


if __name__ == "__main__":
    main()
