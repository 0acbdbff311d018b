"""One run that cannot go on does not hold up the others."""

from pathlib import Path

import msgspec
import pytest

from control_seed import add_dataset, add_run, write_dataset
from modelyard.control.loops.runs import RunLoop, process_id
from modelyard.control.platform import Platform
from modelyard.control.services import run_folders, runs
from modelyard.store.work import DatasetVersion, RunInput
from modelyard.types.process import ProcessSpec, ProcessStatus
from modelyard.types.run import RunOutcome


class Told:
    """Processes of a launcher that starts nothing: what it was told to run, it says that it runs."""

    def __init__(self) -> None:
        self.rows: dict[str, ProcessStatus] = {}

    def table(self) -> dict[str, ProcessStatus]:
        return dict(self.rows)

    def want(self, group: str, specs: list[ProcessSpec]) -> bool:
        kept = {s.id: ProcessStatus(id=s.id, phase="running", pid=1, starts=1) for s in specs}
        self.rows = {name: self.rows.get(name, status) for name, status in kept.items()}
        return True

    def end(self, run: str) -> None:
        name = process_id(run, 1)
        self.rows[name] = ProcessStatus(id=name, phase="ended", pid=None, starts=1, exit_code=0)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def loop(platform: Platform, told: Told) -> RunLoop:
    return RunLoop(platform, told)  # type: ignore[arg-type]


def states(platform: Platform, *run_ids: str) -> list[str]:
    return [runs.show(platform, "default", run_id).state for run_id in run_ids]


def test_a_run_whose_input_lost_its_bytes_fails_and_the_next_one_starts(
    platform: Platform, loop: RunLoop, tmp_path: Path
) -> None:
    add_dataset(platform, tmp_path)
    broken, sound = add_run(platform), add_run(platform)
    with platform.database.write() as session:
        version = session.query(DatasetVersion).one()
        session.add(RunInput(tenant="default", run_id=broken, name="dataset", kind="dataset",
                             version_id=version.id, reference="colours:1", digest=version.digest))  # fmt: skip
    platform.blobs.remove(version.manifest["files"]["data.parquet"]["sha256"], grace=0)
    loop.step()
    assert states(platform, broken, sound) == ["failed", "running"]
    error = runs.show(platform, "default", broken).error
    assert error is not None
    assert error["code"] == "corrupt"
    assert "data.parquet" in error["message"]
    assert str(platform.home.root) not in error["message"]


def test_outputs_that_cannot_be_taken_over_fail_their_run_alone(
    platform: Platform, loop: RunLoop, told: Told
) -> None:
    lost = add_run(platform, kind="prepare", publish={})  # to be published nowhere: a bug of ours
    loop.step()
    attempt = run_folders.attempt_folder(platform, lost, 1)
    write_dataset(attempt / "outputs" / "dataset")
    outcome = RunOutcome(state="succeeded", outputs={"dataset": "dataset"})
    (attempt / "outcome.json").write_bytes(msgspec.json.encode(outcome))
    told.end(lost)
    waiting = add_run(platform)
    loop.step()
    assert states(platform, lost, waiting) == ["failed", "running"]
    error = runs.show(platform, "default", lost).error
    assert error is not None
    assert error["code"] == "internal"
