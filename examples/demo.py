"""The main job on real data: data set, training, evaluation, package, deployment, an answer over HTTP.

usage: python examples/demo.py [--data digits|fashion-mnist|wine|breast-cancer|diabetes] [--epochs N] [--keep]

It starts a platform of its own in a temporary folder and on free ports, and stops it at the end (`--keep` leaves it
running).
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import modelyard

RECIPES: dict[str, dict[str, str]] = {
    "digits": {"task": "image-classification", "net": "cnn"},
    "fashion-mnist": {"task": "image-classification", "net": "cnn"},
    "wine": {"task": "tabular-classification", "net": "mlp"},
    "breast-cancer": {"task": "tabular-classification", "net": "mlp"},
    "diabetes": {"task": "tabular-regression", "net": "linear_regression"},
}
YARD = Path(sys.executable).with_name("yard")
SAMPLE = Path(".demo")


def main() -> int:
    options = parse()
    home = Path(tempfile.mkdtemp(prefix="modelyard-demo-"))
    env = {**os.environ, "YARD_HOME": str(home)}
    started = time.perf_counter()
    say(1, "start the platform")
    gateway, control = free_port(8800), free_port(8801)
    try:
        up = ["up", "--detach", "--port", str(gateway), "--control-port", str(control)]
        subprocess.run([YARD, *up], check=True, env=env)
        credentials = json.loads((home / "client.json").read_text())
        carry(modelyard.Client(credentials["url"], credentials["api_key"]), options, credentials["api_key"])
        print(f"\nFrom nothing to the last answer: {time.perf_counter() - started:.1f} s.")
        if options.keep:
            print(f"The platform goes on; stop it with: YARD_HOME={home} {YARD} down")
    finally:
        if not options.keep:
            subprocess.run([YARD, "down"], env=env, check=False)
            shutil.rmtree(home, ignore_errors=True)
    return 0


def carry(yard: modelyard.Client, options: argparse.Namespace, key: str) -> None:
    """One data set through every room."""
    name, recipe = options.data, RECIPES[options.data]
    say(2, f"add the data set {name!r}")
    added = yard.data.add(name)
    print(f"{name}:{added.version}, {added.rows:,} rows, splits {added.versions[0]['split_rows']}")

    say(3, f"train {recipe['net']!r} on it; the run evaluates and packages it too")
    extra: dict[str, Any] = {"training": {"epochs": options.epochs}} if options.epochs else {}
    run = yard.train(**recipe, data=name, name=name, watch=epochs(), **extra)
    report = yard.models.report(name)
    found = report["interval"]
    print(f"{report['metrics']['main']} {found['value']:.4f} on {report['rows']:,} test rows "
          f"({found['confidence']:.0%} interval {found['low']:.4f} to {found['high']:.4f})")  # fmt: skip
    print(f"fit: {report['fit']['verdict']}, {report['fit']['why']}")
    print(
        f"version {name}:{run.outputs['model']['version']}, sha256 {run.outputs['model']['digest'][:16]}..."
    )
    page = SAMPLE / "report.html"
    SAMPLE.mkdir(exist_ok=True)
    page.write_bytes(yard.models.report_page(name))
    print(f"the report with its pictures: {page}")

    say(
        4, "deploy the version: a replica verifies the package and replays its golden inputs before it serves"
    )
    deployed = yard.deploy(name, name)
    print(f"{deployed.ready} of {deployed.wanted} replicas ready")

    say(5, "ask it over HTTP with stock clients")
    url = f"{yard.gateway_url}/models/{name}"
    sample = yard.data.sample(name)
    answer = ask(url, key, recipe["task"], sample)
    print(f"the test sample's true value is {sample.label!r}; the answer is {answer}")
    line = curl(url, key, recipe["task"], sample)
    print(f"\naddress  {url}\nkey      {key}\ncurl     {line}")
    if shutil.which("curl"):
        shown = subprocess.run(line, shell=True, check=True, capture_output=True, text=True)
        print(f"         {shown.stdout}")


def epochs() -> Callable[[Any], None]:
    """Prints what a run says of itself, each fifth of the way."""
    seen = {-1}

    def watch(run: Any) -> None:
        said = run.progress
        fifth = int(5 * (said.get("done") or 0) / (said.get("total") or 1))
        if fifth not in seen and said.get("text"):
            seen.add(fifth)
            print(f"  {said['text']}", flush=True)

    return watch


def ask(url: str, key: str, task: str, sample: Any) -> Any:
    """With huggingface_hub's client where it has the call; tabular regression is plain HTTP there."""
    from huggingface_hub import InferenceClient

    client = InferenceClient(url, token=key)
    if task == "image-classification":
        return [f"{e.label} {e.score:.3f}" for e in client.image_classification(sample["image"])[:3]]
    table = {column: [value] for column, value in sample.features.items()}
    if task == "tabular-classification":
        return client.tabular_classification(table)
    import httpx

    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(url, json={"inputs": {"data": table}}, headers=headers).raise_for_status().json()


def curl(url: str, key: str, task: str, sample: Any) -> str:
    """A line that works as it stands; the sample is kept in .demo/."""
    SAMPLE.mkdir(exist_ok=True)
    if task == "image-classification":
        path = SAMPLE / "scan.png"
        path.write_bytes(sample["image"])
        return f"curl -s -H 'Authorization: Bearer {key}' --data-binary @{path} {url}"
    path = SAMPLE / "row.json"
    table = {column: [value] for column, value in sample.features.items()}
    path.write_text(json.dumps({"inputs": {"data": table}}))
    return f"curl -s -H 'Authorization: Bearer {key}' --json @{path} {url}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The main job on real data.")
    parser.add_argument("--data", choices=sorted(RECIPES), default="digits")
    parser.add_argument("--epochs", type=int, help="fewer or more than the recipe's default")
    parser.add_argument("--keep", action="store_true", help="leave the platform running")
    return parser.parse_args()


def free_port(wanted: int) -> int:
    """`wanted` if nothing listens there, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(s.getsockname()[1])
    raise SystemExit("no free port on 127.0.0.1")


def say(step: int, text: str) -> None:
    print(f"\n[{step}/5] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
