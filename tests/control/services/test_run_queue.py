"""A run reaches exactly one end state with at most one published result, in whatever order things happen to it."""

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from control_seed import add_run, write_config, write_dataset
from modelyard.control.bootstrap import open_platform
from modelyard.control.platform import Platform
from modelyard.control.services import datasets, run_events, run_folders, run_queue, runs
from modelyard.control.services.run_queue import MOST_FAILURES
from modelyard.errors import Conflict, LeaseLost
from modelyard.home import Home
from modelyard.store.work import Run
from modelyard.types.run import END_STATES, RunEvents, RunOutcome, RunSpec


def queued(platform: Platform) -> str:
    return runs.submit_dataset(platform, "default", "colours", [], {"builtin": "digits"}).id


def leave(platform: Platform, run: Run, state: str, content: bytes = b"parquet") -> None:
    """What a run's process leaves as its last act."""
    outputs = run_folders.attempt_folder(platform, run.id, run.attempt) / "outputs"
    if state == "succeeded" and not outputs.exists():
        write_dataset(outputs / "dataset", content)
    error = None if state == "succeeded" else {"code": state, "message": state}
    outcome = RunOutcome(
        state=state, outputs={"dataset": "dataset"} if state == "succeeded" else {}, error=error
    )  # type: ignore[arg-type]
    (outputs.parent / "outcome.json").write_bytes(msgspec.json.encode(outcome))


def token(platform: Platform, run: Run) -> str:
    spec = msgspec.json.decode((platform.home.runs / run.id / "spec.json").read_bytes(), type=RunSpec)
    assert spec.attempt == run.attempt
    return spec.token


def claimed(platform: Platform, run_id: str) -> Run:
    run = run_queue.claim(platform, run_id)
    assert run is not None
    return run


def test_a_run_that_succeeds(platform: Platform) -> None:
    run = claimed(platform, queued(platform))
    assert run_queue.claim(platform, run.id) is None
    leave(platform, run, "succeeded")
    run_queue.settle(platform, run, "ended with status 0", own_failure=True)
    shown = runs.show(platform, "default", run.id)
    assert shown.state == "succeeded"
    assert shown.outputs["dataset"] == {
        "name": "colours", "version": 1, "new": True,
        "digest": datasets.show(platform, "default", "colours").versions[0].digest,
    }  # fmt: skip
    assert sorted(p.name for p in (platform.home.runs / run.id).iterdir()) == ["attempt-1"]


def test_a_killed_run_is_tried_again_and_then_failed(platform: Platform) -> None:
    run_id = queued(platform)
    for attempt in range(1, MOST_FAILURES + 1):
        run = claimed(platform, run_id)
        assert run.attempt == attempt
        assert run_queue.next_queued(platform, frozenset()) is None
        run_queue.settle(platform, run, "was ended by signal 9", own_failure=True)
    shown = runs.show(platform, "default", run_id)
    assert shown.state == "failed"
    assert shown.error is not None
    assert shown.error["code"] == "process_died"
    assert "signal 9" in shown.error["message"]


def test_restarts_of_the_platform_are_not_the_runs_failures(platform: Platform) -> None:
    run_id = queued(platform)
    for _ in range(MOST_FAILURES + 2):
        run_queue.settle(platform, claimed(platform, run_id), "was gone", own_failure=False)
    assert runs.show(platform, "default", run_id).state == "queued"


def test_a_run_that_the_platform_stopped_goes_on_later(platform: Platform) -> None:
    run = claimed(platform, queued(platform))
    leave(platform, run, "cancelled")
    run_queue.settle(platform, run, "was gone", own_failure=False)
    assert runs.show(platform, "default", run.id).state == "queued"


def test_outputs_that_do_not_match_fail_the_run(platform: Platform) -> None:
    run = claimed(platform, queued(platform))
    leave(platform, run, "succeeded")
    path = run_folders.attempt_folder(platform, run.id, 1) / "outputs/dataset/data.parquet"
    path.write_bytes(b"flipped")
    run_queue.settle(platform, run, "ended with status 0", own_failure=True)
    error = runs.show(platform, "default", run.id).error
    assert error is not None
    assert error["code"] == "corrupt"
    assert "data.parquet" in error["message"]


def test_training_waits_for_training_and_other_work_does_not(platform: Platform) -> None:
    first, second = add_run(platform), add_run(platform)
    beside = [queued(platform) for _ in range(3)]
    order = []
    while (run := run_queue.next_queued(platform, frozenset())) is not None:
        order.append(claimed(platform, run.id).id)
    assert order == [first, *beside[:2]]
    assert runs.show(platform, "default", second).state == "queued"


def test_a_run_whose_last_attempt_lives_waits(platform: Platform) -> None:
    run_id = queued(platform)
    assert run_queue.next_queued(platform, frozenset({run_id})) is None


def test_the_process_is_told_all_it_needs(platform: Platform) -> None:
    run = claimed(platform, queued(platform))
    path = platform.home.runs / run.id / "spec.json"
    spec = msgspec.json.decode(path.read_bytes(), type=RunSpec)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (spec.id, spec.attempt, spec.kind) == (run.id, 1, "prepare")
    assert spec.control_url == platform.config.control_url
    assert spec.params["options"]["builtin"] == "digits"
    assert spec.token not in (run.token_hash or "")


def test_cancel_after_the_end(platform: Platform) -> None:
    run = claimed(platform, queued(platform))
    leave(platform, run, "failed")
    run_queue.settle(platform, run, "ended with status 1", own_failure=True)
    with pytest.raises(Conflict, match="failed"):
        runs.cancel(platform, "default", run.id)


class RunMachine(RuleBasedStateMachine):
    """One run, what its attempts do (the living one and those that were fenced off), what its owner does."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        home = Home(Path(self.folder.name) / "home")
        write_config(home)
        self.platform = open_platform(home)
        self.id = queued(self.platform)
        self.attempts: list[tuple[Run, str]] = []
        self.end: str | None = None

    def teardown(self) -> None:
        self.platform.database.close()
        self.folder.cleanup()

    @property
    def state(self) -> str:
        return runs.show(self.platform, "default", self.id).state

    @rule()
    def claim(self) -> None:
        before = self.state
        run = run_queue.claim(self.platform, self.id)
        assert (run is not None) == (before == "queued")
        if run is not None:
            self.attempts.append((run, token(self.platform, run)))

    @rule()
    def cancel(self) -> None:
        try:
            runs.cancel(self.platform, "default", self.id)
        except Conflict:
            assert self.state in ("succeeded", "failed")

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 9), left=st.sampled_from(["succeeded", "failed", "cancelled", None]))
    def settle(self, which: int, left: str | None) -> None:
        run, _ = self.attempts[which % len(self.attempts)]
        folder = run_folders.attempt_folder(self.platform, run.id, run.attempt)
        if left is not None and folder.exists():
            leave(self.platform, run, left, content=str(run.attempt).encode())
        run_queue.settle(self.platform, run, "ended", own_failure=True)

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 9))
    def fence(self, which: int) -> None:
        run_queue.fence(self.platform, self.attempts[which % len(self.attempts)][0], "was silent")

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 9))
    def speak(self, which: int) -> None:
        run, secret = self.attempts[which % len(self.attempts)]
        shown = runs.show(self.platform, "default", self.id)
        holds = shown.state == "running" and shown.attempt == run.attempt
        try:
            reply = run_events.receive(self.platform, self.id, secret, RunEvents(attempt=run.attempt))
        except LeaseLost:
            assert not holds
        else:
            assert holds
            assert reply.cancel == shown.cancel_requested

    @invariant()
    def the_end_stays_and_one_result_at_most_is_published(self) -> None:
        if not hasattr(self, "platform"):
            return
        state = self.state
        assert self.end is None or state == self.end
        self.end = state if state in END_STATES else None
        with self.platform.database.read() as session:
            published = session.query(datasets.DatasetVersion).count()
        assert published == (state == "succeeded")


TestRunMachine = RunMachine.TestCase
TestRunMachine.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
