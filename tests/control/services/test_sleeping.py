"""Sleep, by the services alone: the live tests show the processes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from control_seed import add_model, add_tenant
from modelyard.control.platform import Platform
from modelyard.control.services import deployments, rollout, sleeping
from modelyard.control.services.deployments import Change, NewDeployment
from modelyard.control.services.readiness import ReplicaStatus
from modelyard.control.services.snapshots import snapshot
from modelyard.errors import NotFound
from modelyard.types.activity import Activity, ActivityReport
from modelyard.types.route import Route, Snapshot


@pytest.fixture(autouse=True)
def a_model(platform: Platform, tmp_path: Path) -> None:
    add_model(platform, tmp_path)


def deploy(platform: Platform, name: str = "live", **serving: Any) -> str:
    deployments.create(platform, "default", NewDeployment(name=name, model="colours", serving=serving))
    return next(w.deployment for w in rollout.wanted_replicas(platform) if w.name == name)


def look(platform: Platform, state: Any = "ready") -> None:
    found: dict[tuple[str, str], dict[int, ReplicaStatus]] = {}
    for w in rollout.wanted_replicas(platform):
        found.setdefault(w.key, {})[w.replica] = ReplicaStatus(state=state, address=f"unix:/{w.name}")
    platform.readiness.update(found)
    rollout.promote(platform)


def route(platform: Platform, name: str = "live") -> Route:
    routes = msgspec.json.decode(snapshot(platform), type=Snapshot).routes
    return next(r for r in routes if r.name == name)


def state(platform: Platform) -> str:
    return deployments.show(platform, "default", "live").state


def test_asleep_it_wants_no_replica_and_waking_wants_them_again(platform: Platform) -> None:
    one = deploy(platform, sleep=5)
    assert route(platform).asleep  # it is being started, and requests may wait for it
    look(platform)
    assert not route(platform).asleep
    sleeping.put_to_sleep(platform, {one})
    assert rollout.wanted_replicas(platform) == []
    assert rollout.asleep(platform) == {one}
    look(platform)
    assert (route(platform).asleep, state(platform)) == (True, "asleep")
    revision = route(platform).revision
    for _ in range(3):
        sleeping.wake(platform, "default", "live")
    assert route(platform).revision == revision + 1
    assert [w.name for w in rollout.wanted_replicas(platform)] == ["live"]
    assert (route(platform).asleep, state(platform)) == (True, "starting")
    look(platform)
    assert (route(platform).asleep, state(platform)) == (False, "ready")
    assert route(platform).versions[0].replicas == ("unix:/live",)


def test_one_that_cannot_be_started_is_refused_and_not_waited_for(platform: Platform) -> None:
    one = deploy(platform, sleep=5)
    look(platform)
    sleeping.put_to_sleep(platform, {one})
    sleeping.wake(platform, "default", "live")
    look(platform, "failed")
    assert not route(platform).asleep
    assert state(platform) == "failed"


def test_what_is_not_to_sleep_does_not(platform: Platform) -> None:
    one = deploy(platform)
    look(platform, "starting")
    assert not route(platform).asleep  # as ever: it is refused until a replica is ready
    sleeping.put_to_sleep(platform, {one})
    assert rollout.asleep(platform) == frozenset()


def test_to_take_sleep_back_wakes(platform: Platform) -> None:
    one = deploy(platform, sleep=5)
    sleeping.put_to_sleep(platform, {one})
    deployments.change(platform, "default", "live", Change(serving={"timeout": 4.0}))
    assert rollout.asleep(platform) == {one}
    deployments.change(platform, "default", "live", Change(serving={"sleep": None}))
    assert rollout.asleep(platform) == frozenset()


def test_who_is_not_there_cannot_be_woken(platform: Platform) -> None:
    add_tenant(platform, "other")
    one = deploy(platform, sleep=5)
    sleeping.put_to_sleep(platform, {one})
    for tenant, name in (("default", "dead"), ("other", "live")):
        with pytest.raises(NotFound):
            sleeping.wake(platform, tenant, name)
    deployments.delete(platform, "default", "live")
    with pytest.raises(NotFound):
        sleeping.wake(platform, "default", "live")


def test_a_report_of_requests_that_wait_wakes_too(platform: Platform) -> None:
    one = deploy(platform, sleep=5)
    sleeping.put_to_sleep(platform, {one})
    told = [Activity(tenant="default", name=n, running=0, waiting=1) for n in ("gone", "live")]
    sleeping.hear(platform, ActivityReport(deployments=(*told,)))
    assert rollout.asleep(platform) == frozenset()


def test_requests_that_are_worked_on_do_not_wake(platform: Platform) -> None:
    one = deploy(platform, sleep=5)
    sleeping.put_to_sleep(platform, {one})
    told = Activity(tenant="default", name="live", running=1, waiting=0)
    sleeping.hear(platform, ActivityReport(deployments=(told,)))
    assert rollout.asleep(platform) == {one}


def test_only_what_is_ready_and_idle_for_as_long_as_was_said(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(platform.activities, "_clock", lambda: now)
    quick, slow = deploy(platform, "quick", sleep=5), deploy(platform, "slow", sleep=50)
    deploy(platform, "never")

    def idle() -> set[str]:
        wanted = rollout.wanted_replicas(platform)
        platform.activities.keep({(w.tenant, w.name) for w in wanted})
        return sleeping.idle_too_long(platform, wanted)

    look(platform, "starting")
    now += 1000
    platform.activities.hear(ActivityReport(deployments=()))
    assert idle() == set()
    look(platform)
    now += 6
    platform.activities.hear(ActivityReport(deployments=()))
    assert idle() == {quick}
    now += 60
    assert idle() == set()  # the gateway has said nothing for long
    platform.activities.hear(ActivityReport(deployments=()))
    assert idle() == {quick, slow}
