"""Settings of a deployment on a platform that runs: what changes a process rolls its replicas."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from control_seed import add_model
from live_platform import LivePlatform
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


def threads_of(live: LivePlatform) -> list[str | None]:
    """What each replica was told, in their order; None where nothing, or where it has ended."""
    found = []
    for _, pid in sorted((n, p) for n, p in live.pids().items() if n.startswith("replica/")):
        try:
            argv = psutil.Process(pid).cmdline()
        except psutil.NoSuchProcess:
            argv = []
        found.append(argv[argv.index("--threads") + 1] if "--threads" in argv else None)
    return found


def test_replicas_change_one_after_the_other_and_every_request_is_answered(live: LivePlatform) -> None:
    live.post("deployments", {"name": "colours", "model": "colours", "replicas": 2})
    live.deployment("colours", "ready")
    wait_until(lambda: live.serves("colours") == "1", 10)
    answers: list[str | None] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(live.serves("colours"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        live.patch("deployments/colours", {"serving": {"threads": 2}})
        seen = {tuple(threads_of(live))}
        wait_until(lambda: seen.add(now := tuple(threads_of(live))) or now == ("2", "2"), 40)  # type: ignore[func-returns-value]
    finally:
        stop.set()
        asking.join()
    live.deployment("colours", "ready")
    assert {(None, None), ("2", None), ("2", "2")} <= seen
    assert ("", "2") not in seen
    assert set(answers) == {"1"}
    assert live.get("deployments/colours")["serving"] == {"threads": 2}


def test_a_setting_that_a_control_was_killed_over_rolls_too(live: LivePlatform) -> None:
    live.post("deployments", {"name": "colours", "model": "colours", "replicas": 2})
    live.deployment("colours", "ready")
    live.patch("deployments/colours", {"serving": {"threads": 2}})
    live.kill("control")
    live.again()
    one_new = wait_until(lambda: "2" in (found := threads_of(live)) and found, 20)
    assert one_new == ["2", None]
    wait_until(lambda: threads_of(live) == ["2", "2"], 30)
    live.deployment("colours", "ready")


def test_what_is_not_allowed_is_refused_with_the_setting_named(live: LivePlatform) -> None:
    live.post("deployments", {"name": "colours", "model": "colours"})
    for serving, said in (({"slep": 4}, "did you mean 'sleep'"), ({"sleep": "4"}, "sleep; came: 4")):
        refused = live.http.patch("/api/v1/deployments/colours", json={"serving": serving})
        assert refused.status_code == 400
        assert said in refused.json()["error"]["message"]
    schema = live.http.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Deploy", "DeploymentView"):
        assert schema[name]["properties"]["serving"]["properties"]["sleep"] == {"type": ["number", "null"]}
