"""Small real data sets, made once, and a reporter that keeps what it is told."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modelyard import datasets
from modelyard.datasets import Dataset


class Recorder:
    """A Reporter. `stop_at` raises in the call of that number, whatever the call is."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []
        self.progressed: list[tuple[float, float, str]] = []
        self.calls = 0
        self.stop_at = stop_at

    def metrics(self, step: int, values: dict[str, float]) -> None:
        self._count()
        self.points.append((step, dict(values)))

    def progress(self, done: float, total: float, text: str = "") -> None:
        self._count()
        self.progressed.append((done, total, text))

    def check(self) -> None:
        self._count()

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt(f"killed at call {self.calls}")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Nets this small gain nothing from more threads, and lose much where other tests run beside them."""
    torch.set_num_threads(1)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def recorders() -> type[Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def builtin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Dataset]:
    """A built-in data set by its name."""
    opened: dict[str, Dataset] = {}

    def get(name: str) -> Dataset:
        if name not in opened:
            folder: Path = tmp_path_factory.mktemp(name) / "version"
            datasets.ingest([], datasets.IngestOptions(builtin=name), folder, Recorder())
            opened[name] = datasets.open_dataset(folder)
        return opened[name]

    return get
