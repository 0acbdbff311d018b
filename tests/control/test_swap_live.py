"""Models that have no room together, with real processes."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_seed import add_model, write_config
from launching import lives
from live_platform import LivePlatform
from modelyard.control.bootstrap import open_platform
from modelyard.home import Home
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes

ONE = 100 << 20  # bytes: a replica of the small package has room, two have not


@pytest.fixture
def live(home: Home, tmp_path: Path) -> Iterator[LivePlatform]:
    write_config(home, model_bytes=ONE)
    platform = open_platform(home)
    add_model(platform, tmp_path)
    platform.database.close()
    with LivePlatform(home) as live:
        yield live


def deploy(live: LivePlatform, name: str, **serving: Any) -> None:
    live.post("deployments", {"name": name, "model": "colours", "serving": serving})


def ask(live: LivePlatform, name: str, timeout: float | None = None) -> httpx.Response:
    column = {"datatype": "FP64", "shape": [1], "data": [0.5]}
    body = {"inputs": [{"name": n, **column} for n in ("a", "b")]}
    headers = {"Authorization": live.http.headers["Authorization"]}
    headers |= {} if timeout is None else {"Modelyard-Timeout": str(timeout)}
    url = f"{live.config.gateway_url}/v2/models/{name}/infer"
    return httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)


def replicas(live: LivePlatform) -> set[str]:
    return {name.split("/")[1] for name in live.pids() if name.startswith("replica/")}


class Watch:
    """Which replicas there are at a time, seen again and again."""

    def __init__(self, live: LivePlatform) -> None:
        self._live = live
        self._stop = threading.Event()
        self.seen: set[frozenset[str]] = set()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            self.seen.add(frozenset(replicas(self._live)))


def test_two_take_turns_and_never_are_there_together(live: LivePlatform) -> None:
    deploy(live, "one", sleep=3600)
    assert wait_until(lambda: live.serves("one"), 20) == "1"
    with Watch(live) as watch:
        deploy(live, "two", sleep=3600)
        wait_until(lambda: live.get("deployments/two")["why"], 10)
        live.deployment("two", "ready")
        assert live.get("deployments/one")["state"] == "asleep"
        for name in ("one", "two", "one"):
            assert ask(live, name).status_code == 200
    assert frozenset({"one"}) in watch.seen
    assert frozenset({"two"}) in watch.seen
    assert frozenset({"one", "two"}) not in watch.seen


@pytest.mark.parametrize("serving", [{"sleep": 3600, "pinned": True}, {}])
def test_pinned_ones_stay_and_who_waits_is_told_why(live: LivePlatform, serving: dict[str, Any]) -> None:
    deploy(live, "stays", **serving)
    assert wait_until(lambda: live.serves("stays"), 20) == "1"
    pid = live.pids()["replica/stays/1/0"]
    deploy(live, "waits", sleep=3600)
    assert "busy, pinned, or never sleep" in live.deployment("waits", "waiting")["why"]
    refused = ask(live, "waits", 3)
    assert refused.status_code == 503
    assert "was not loaded before the request's deadline" in refused.json()["error"]
    assert "busy, pinned, or never sleep" in refused.json()["error"]
    assert live.pids()["replica/stays/1/0"] == pid
    live.patch("deployments/stays", {"serving": {"pinned": False, "sleep": 3600}})
    assert ask(live, "waits").status_code == 200
    wait_until(lambda: not lives(pid), 10)


def test_busy_ones_stay_until_they_have_answered(live: LivePlatform) -> None:
    deploy(live, "busy", sleep=3600)
    assert wait_until(lambda: live.serves("busy"), 20) == "1"
    pid = live.pids()["replica/busy/1/0"]
    told = _reports(live)
    os.kill(pid, signal.SIGSTOP)  # it works on its request for as long as we say
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ask, live, "busy")
            wait_until(lambda: _reports(live) >= told + 2, 10, "that the gateway has told of it")
            deploy(live, "waits", sleep=3600)
            assert "busy" in live.deployment("waits", "waiting")["why"]
            later = _reports(live) + 2
            wait_until(lambda: _reports(live) >= later, 10, "more reports")
            assert live.pids()["replica/busy/1/0"] == pid
            assert live.get("deployments/busy")["state"] == "ready"
            os.kill(pid, signal.SIGCONT)
            assert answer.result(timeout=30).status_code == 200
    finally:
        with suppress(ProcessLookupError):  # it may have made room by now
            os.kill(pid, signal.SIGCONT)
    live.deployment("waits", "ready")
    assert live.get("deployments/busy")["state"] == "asleep"


def _reports(live: LivePlatform) -> int:
    """How often the gateway has told of activity."""
    return (live.home.logs / "control.log").read_text().count("/internal/activity")


def test_control_that_is_killed_while_room_is_made(live: LivePlatform) -> None:
    deploy(live, "one", sleep=3600)
    assert wait_until(lambda: live.serves("one"), 20) == "1"
    deploy(live, "two", sleep=3600)
    wait_until(lambda: live.get("deployments/one")["state"] == "asleep", 20)
    live.kill("control")
    live.again()
    live.deployment("two", "ready")
    assert live.get("deployments/one")["state"] == "asleep"
    assert ask(live, "one").status_code == 200
