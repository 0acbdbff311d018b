"""What stays of a run's folder when the run has ended."""

import pytest

from control_seed import add_run
from modelyard.control.platform import Platform
from modelyard.control.services import run_folders


@pytest.mark.parametrize(
    "left", ["inputs/dataset/data", "checkpoints/1", "attempt-2/outputs/part", "spec.json"]
)
def test_whatever_a_crash_left_of_an_ended_run_is_removed(platform: Platform, left: str) -> None:
    ended, going_on = add_run(platform, state="failed"), add_run(platform, state="running")
    for run_id in (ended, going_on):
        folder = run_folders.folder_of(platform, run_id)
        for name in (left, "attempt-2/log.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
    run_folders.clear_ended(platform)
    assert not (run_folders.folder_of(platform, ended) / left).exists()
    assert (run_folders.folder_of(platform, ended) / "attempt-2/log.txt").exists()
    assert (run_folders.folder_of(platform, going_on) / left).exists()
