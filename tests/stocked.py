"""A real platform with real data and a small model in it, for the tests of the client and the command line."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import modelyard
from modelyard.home import Home

NOTE = "a line of free text, as people leave it"


class Stocked:
    """Data sets `wine` (built in) and `cellar` (a CSV without a label, with an id and free text); the model
    `wine` with two versions and a report each. Leaving the block stops the platform."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.folder = root.parent
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("YARD_")}
        self._environment |= {"YARD_HOME": str(root), "COLUMNS": "80"}

    def __enter__(self) -> "Stocked":
        self.yard("up", "--detach", "--port", "0", "--control-port", "0")
        self.client = modelyard.Client(home=self.home)
        self.client.data.add("wine")
        self.client.data.add("cellar", write_cellar(self.folder / "cellar.csv"))
        for net in ("logistic_regression", "decision_tree"):
            self.train("wine", "wine", net)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.yard("down")

    def train(self, name: str, data: str, net: str, **keys: Any) -> None:
        self.client.train(task="tabular-classification", name=name, data=data, net=net, **keys)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`yard` with these arguments, in the platform's folder."""
        argv = [sys.executable, "-m", "modelyard.cli", *arguments]
        return subprocess.run(argv, env=self._environment, cwd=self.folder, capture_output=True, text=True,
                              timeout=90)  # fmt: skip

    def yard(self, *arguments: str) -> str:
        """What a command that succeeds says."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.yard(*arguments, "--json"))


def write_cellar(path: Path) -> Path:
    """The wines as a team's own CSV: an id, a note, four measures, and the class as one column of many."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["bottle", "note", *wine.feature_names[:4], "grower"])
        for number, (row, kind) in enumerate(zip(wine.data, wine.target, strict=True)):
            writer.writerow([f"B{number:05}", f"{NOTE} {number}", *row[:4], wine.target_names[kind]])
    return path
