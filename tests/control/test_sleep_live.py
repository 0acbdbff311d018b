"""Sleep and waking with real processes: control, gateway, launcher, replicas."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_seed import add_model
from launching import lives
from live_platform import LivePlatform
from modelyard.cluster.secret import gateway_token, read_secret
from modelyard.control.bootstrap import open_platform
from modelyard.home import Home
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes


@pytest.fixture
def live(home: Home, tmp_path: Path) -> Iterator[LivePlatform]:
    platform = open_platform(home)
    add_model(platform, tmp_path)
    platform.database.close()
    with LivePlatform(home) as live:
        yield live


def deploy(live: LivePlatform, name: str = "colours", **serving: Any) -> int:
    """The replica's pid when it answers through the gateway."""
    live.post("deployments", {"name": name, "model": "colours", "serving": {"sleep": 1, **serving}})
    wait_until(lambda: live.serves(name) == "1", 20, "an answer")
    return live.pids()[f"replica/{name}/1/0"]


def asleep(live: LivePlatform, pid: int, name: str = "colours") -> None:
    """Wait until it sleeps and its process has ended."""
    live.deployment(name, "asleep")
    wait_until(lambda: not lives(pid), 20, "the end of the replica")
    assert f"replica/{name}/1/0" not in live.pids()


def ask(live: LivePlatform, name: str = "colours", timeout: float | None = None) -> httpx.Response:
    column = {"datatype": "FP64", "shape": [1], "data": [0.5]}
    body = {"inputs": [{"name": n, **column} for n in ("a", "b")]}
    headers = {"Authorization": live.http.headers["Authorization"]}
    headers |= {} if timeout is None else {"Modelyard-Timeout": str(timeout)}
    url = f"{live.config.gateway_url}/v2/models/{name}/infer"
    return httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)


def woken(live: LivePlatform) -> int:
    """How often control was told to wake something."""
    return (live.home.logs / "control.log").read_text().count("/internal/wake")


def test_who_calls_twenty_times_at_once_is_answered_by_one_start(live: LivePlatform) -> None:
    first = deploy(live)
    asleep(live, first)
    before = woken(live)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(live), range(20)))
    assert {a.status_code for a in answers} == {200}
    assert {a.json()["model_version"] for a in answers} == {"1"}
    second = live.pids()["replica/colours/1/0"]
    assert second != first
    assert woken(live) == before + 1
    asleep(live, second)
    assert ask(live).status_code == 200


def test_control_that_is_killed_while_a_model_wakes(live: LivePlatform) -> None:
    first = deploy(live)
    asleep(live, first)
    with ThreadPoolExecutor(1) as pool:
        os.kill(control := live.pids()["control"], signal.SIGSTOP)
        answer = pool.submit(ask, live)
        wait_until(lambda: "replica/colours/1/0" not in live.pids(), 5)
        os.kill(control, signal.SIGKILL)
        assert answer.result(timeout=30).status_code == 200


def test_control_that_is_killed_wakes_and_ends_nothing(live: LivePlatform) -> None:
    sleeper = deploy(live)
    asleep(live, sleeper)
    awake = deploy(live, "other", sleep=3600)
    live.kill("control")
    live.again()
    wait_until(lambda: live.get("deployments/other")["state"] == "ready", 20)
    assert live.get("deployments/colours")["state"] == "asleep"
    assert live.pids()["replica/other/1/0"] == awake
    assert "replica/colours/1/0" not in live.pids()
    assert ask(live).status_code == 200


def test_a_gateway_that_is_away_puts_nothing_to_sleep(live: LivePlatform) -> None:
    deploy(live, sleep=11)
    os.kill(gateway := live.pids()["gateway"], signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):  # its last word is no word any more after 10 s
            wait_until(lambda: live.get("deployments/colours")["state"] != "ready", 15)
    finally:
        os.kill(gateway, signal.SIGCONT)
    live.deployment("colours", "asleep")


def test_one_that_is_deleted_while_it_is_waited_for(live: LivePlatform) -> None:
    asleep(live, deploy(live))
    os.kill(live.child.pid, signal.SIGSTOP)  # the launcher: nothing starts
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, live)
            live.deployment("colours", "starting")
            assert live.http.delete("/api/v1/deployments/colours").status_code == 204
            refused = answer.result(timeout=20)
    finally:
        os.kill(live.child.pid, signal.SIGCONT)
    assert refused.status_code == 404
    assert "colours" in refused.json()["error"]


def test_only_the_gateway_wakes_and_only_what_is_there(live: LivePlatform) -> None:
    url = f"{live.config.control_url}/internal/"
    token = gateway_token(read_secret(live.home))
    for headers, body, status in (
        ({}, {"tenant": "default", "name": "colours"}, 401),
        ({"Authorization": f"Bearer {token}"}, {"tenant": "default", "name": "colours"}, 404),
        ({"Authorization": f"Bearer {token}"}, {"name": "colours"}, 400),
    ):
        assert httpx.post(f"{url}wake", json=body, headers=headers, trust_env=False).status_code == status
    for said, status in (([], 200), ([{"name": 3}], 400)):
        answer = httpx.post(f"{url}activity", json={"deployments": said}, trust_env=False,
                            headers={"Authorization": f"Bearer {token}"})  # fmt: skip
        assert answer.status_code == status


def test_what_cannot_be_loaded_in_time_is_refused_with_a_reason(live: LivePlatform) -> None:
    asleep(live, deploy(live))
    os.kill(live.child.pid, signal.SIGSTOP)
    try:
        refused = ask(live, timeout=0.5)
    finally:
        os.kill(live.child.pid, signal.SIGCONT)
    assert refused.status_code == 503
    assert "was not loaded before the request's deadline" in refused.json()["error"]
