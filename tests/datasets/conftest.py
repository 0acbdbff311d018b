"""What the tests of data sets share: a reporter that keeps what it is told, and adding files in one call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelyard import datasets
from modelyard.datasets import Dataset, IngestOptions
from modelyard.errors import Cancelled

Add = Callable[..., Dataset]


@dataclass
class Recorder:
    """A types.run.Reporter; `cancel_after` checks it says that the run is cancelled."""

    cancel_after: int | None = None
    progressed: list[tuple[float, float, str]] = field(default_factory=list)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        raise AssertionError("adding data has no curves")

    def progress(self, done: float, total: float, text: str = "") -> None:
        self.progressed.append((done, total, text))

    def check(self) -> None:
        if self.cancel_after is not None:
            self.cancel_after -= 1
            if self.cancel_after < 0:
                raise Cancelled("the run was cancelled")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def add(tmp_path: Path, recorder: Recorder) -> Add:
    """`add(source, ..., **options)` -> the opened version. Nothing else may be left; on an error, nothing."""

    def added(*sources: Path, **options: Any) -> Dataset:
        place = tmp_path / "versions"
        before = set(place.iterdir()) if place.exists() else set()
        out = place / f"version-{len(before)}"
        try:
            datasets.ingest(list(sources), IngestOptions(**options), out, recorder)
        except BaseException:
            assert (set(place.iterdir()) if place.exists() else set()) == before
            raise
        assert set(place.iterdir()) == before | {out}
        assert names_in(out) == [
            "data.parquet",
            "dataset.json",
            "profile.html",
            "profile.json",
            "profile.txt",
        ]
        return datasets.open_dataset(out)

    return added


def names_in(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir())
