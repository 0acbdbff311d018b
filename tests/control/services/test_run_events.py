import dataclasses

import pytest

from control_seed import add_run
from modelyard.control.platform import Platform, digest_of
from modelyard.control.services import run_events, runs
from modelyard.control.services.leases import LEASE_SECONDS, Leases
from modelyard.errors import InvalidInput, LeaseLost
from modelyard.types.run import RunEvent, RunEvents


@pytest.fixture
def run(platform: Platform) -> str:
    return add_run(platform, state="running", attempt=2, token_hash=digest_of("secret"))


def point(step: int, **metrics: float) -> RunEvent:
    return RunEvent(step=step, metrics=metrics, time=1.0)


def say(platform: Platform, run: str, *events: RunEvent, attempt: int = 2, token: str = "secret") -> bool:
    return run_events.receive(platform, run, token, RunEvents(attempt=attempt, events=events)).cancel


def test_points_are_kept_once(platform: Platform, run: str) -> None:
    say(platform, run, point(1, loss=0.5), point(2, loss=0.25, accuracy=0.5))
    say(platform, run, point(1, loss=0.5), point(2, loss=9.0), point(2, loss=8.0))
    assert runs.metrics(platform, "default", run) == {"loss": [[1, 0.5], [2, 0.25]], "accuracy": [[2, 0.5]]}


def test_the_last_progress_is_shown(platform: Platform, run: str) -> None:
    say(platform, run, *(RunEvent(done=i, total=10, text=f"step {i}\0", time=1.0) for i in range(3)))
    progress = runs.show(platform, "default", run).progress
    assert progress is not None
    assert (progress.done, progress.total, progress.text) == (2, 10, "step 2")


@pytest.mark.parametrize(
    ("attempt", "token"), [(1, "secret"), (3, "secret"), (2, "wrong"), (2, "é"), (2, "")]
)
def test_another_attempt_or_token_is_told_to_stop(
    platform: Platform, run: str, attempt: int, token: str
) -> None:
    with pytest.raises(LeaseLost):
        say(platform, run, point(1, loss=1.0), attempt=attempt, token=token)
    assert runs.metrics(platform, "default", run) == {}


def test_a_cancel_is_answered(platform: Platform, run: str) -> None:
    assert not say(platform, run)
    runs.cancel(platform, "default", run)
    assert say(platform, run)
    assert say(platform, run, point(1, loss=1.0))


def test_being_heard_of_extends_the_lease(platform: Platform, run: str) -> None:
    now = 0.0
    platform = dataclasses.replace(platform, leases=Leases(lambda: now))
    assert not platform.leases.expired(run, 2)
    now += LEASE_SECONDS - 1
    say(platform, run)
    now += LEASE_SECONDS - 1
    assert not platform.leases.expired(run, 2)


@pytest.mark.parametrize(
    "event",
    [point(-1, loss=1.0), point(2**31, loss=1.0), point(1, **{"": 1.0}), point(1, **{"a" * 101: 1.0}),
     point(1, **{"a\0": 1.0}), point(1, loss=float("inf")), point(1, **{f"m{i}": 0.0 for i in range(201)})],
)  # fmt: skip
def test_what_is_no_point(platform: Platform, run: str, event: RunEvent) -> None:
    with pytest.raises(InvalidInput):
        say(platform, run, event)
