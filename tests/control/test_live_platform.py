"""Control with a real launcher, gateway, runs and replicas."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_seed import add_model
from live_platform import LivePlatform
from modelyard.cluster.connection import Connection
from modelyard.control.bootstrap import open_platform
from modelyard.errors import Unavailable
from modelyard.home import Home
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes

RECIPE = {"task": "tabular-classification", "name": "wine", "data": "wine", "net": "logistic_regression"}


@pytest.fixture
def live(home: Home, tmp_path: Path) -> Iterator[LivePlatform]:
    """With a model of two versions that are small and real."""
    platform = open_platform(home)
    for _ in range(2):
        add_model(platform, tmp_path)
    platform.database.close()
    with LivePlatform(home) as live:
        yield live


def deployed(live: LivePlatform) -> None:
    live.post("deployments", {"name": "colours", "model": "colours", "version": 1})
    live.deployment("colours", "ready")
    wait_until(lambda: live.serves("colours") == "1", 10)


def test_kill_9_of_everything_in_turn(live: LivePlatform) -> None:
    deployed(live)
    for name in ("replica/colours/1/0", "control", "gateway"):
        before = live.kill(name)
        wait_until(lambda n=name, b=before: live.pids().get(n, b) != b, 5, name)  # type: ignore[misc]
        live.again()
        wait_until(lambda: live.serves("colours") == "1", 5, "an answer")
    before_all = live.pids()
    live.child.kill()
    live.child.wait()
    assert live.serves("colours") == "1"
    wait_until(lambda: _pids_or_none(live) == before_all, 5, "the new launcher adopts all")


def test_a_stopped_replica_is_started_anew(live: LivePlatform) -> None:
    deployed(live)
    stopped = live.kill("replica/colours/1/0", signal.SIGSTOP)
    wait_until(lambda: live.pids().get("replica/colours/1/0", stopped) != stopped, 40, "another replica")
    wait_until(lambda: live.serves("colours") == "1", 20, "an answer")


def _pids_or_none(live: LivePlatform) -> dict[str, int] | None:
    try:
        return live.pids()
    except Unavailable:
        return None


def test_a_bad_new_version_takes_nothing_away_and_a_good_one_takes_over(live: LivePlatform) -> None:
    deployed(live)
    _break_package(live, 2)
    live.patch("deployments/colours", {"split": {"1": 0.5, "2": 0.5}})
    failed = live.deployment("colours", "failed")
    assert "model.onnx" in failed["error"]["message"]
    assert live.serves("colours") == "1"
    live.patch("deployments/colours", {"split": {"1": 1}})
    live.deployment("colours", "ready")
    wait_until(lambda: set(live.pids()) == {"control", "gateway", "replica/colours/1/0"}, 10)
    live.patch("deployments/colours", {"replicas": 2})
    live.deployment("colours", "ready")
    assert live.http.delete("/api/v1/deployments/colours").status_code == 204
    wait_until(lambda: live.serves("colours") is None, 5)
    wait_until(lambda: set(live.pids()) == {"control", "gateway"}, 15)


def _break_package(live: LivePlatform, version: int) -> None:
    """Spoil what is laid out of a version, and not its blobs: it is found when it is opened."""
    digest = live.get(f"models/colours/versions/{version}")["digest"]
    folder = live.home.packages / digest
    folder.mkdir(parents=True)
    for name, entry in live.get(f"models/colours/versions/{version}")["files"].items():
        data = bytearray((live.home.blobs / entry["sha256"][:2] / entry["sha256"][2:]).read_bytes())
        data[len(data) // 2] ^= name == "model.onnx"
        (folder / name).write_bytes(data)


def test_from_data_to_an_evaluated_model(live: LivePlatform) -> None:
    made = [live.ended(live.post("datasets", {"name": "wine", "builtin": "wine"})["id"]) for _ in range(2)]
    assert [(r["state"], r["outputs"]["dataset"]["version"]) for r in made] == [("succeeded", 1)] * 2
    trained = live.ended(live.post("runs", {"kind": "train", "params": RECIPE})["id"])
    assert trained["state"] == "succeeded", trained
    version = live.get("models/wine/versions/latest")
    assert (version["run"], version["dataset"]) == (trained["id"], "wine:1")
    assert version["dataset_digest"] == live.get("datasets/wine/versions/1")["digest"]
    assert version["reports"][0]["metrics"]["values"]["accuracy"] >= 0.8
    evaluated = live.ended(
        live.post("runs", {"kind": "evaluate", "params": {"model": "wine", "split": "train"}})["id"]
    )
    assert evaluated["state"] == "succeeded", evaluated
    assert [r["split"] for r in live.get("models/wine/versions/1")["reports"]] == ["train", "test"]
    log = live.http.get(f"/api/v1/runs/{trained['id']}/log").text
    assert "attempt 1" in log
    assert live.http.get(f"/api/v1/runs/{trained['id']}/log", params={"offset": len(log.encode())}).text == ""
    clash = live.http.post("/api/v1/runs", json={"kind": "train", "params": {**RECIPE, "name": "colours", "task":
                           "tabular-regression", "net": "linear_regression"}})  # fmt: skip
    assert clash.status_code == 409


def test_a_killed_run_is_made_again_and_a_cancelled_one_ends(live: LivePlatform) -> None:
    run = live.post("datasets", {"name": "wine", "builtin": "wine"})["id"]
    live.kill(f"run/{run}/1")
    live.kill("control")
    live.again()
    ended = live.ended(run)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    first, second = (live.post("runs", {"kind": "train", "params": RECIPE})["id"] for _ in range(2))
    assert live.post(f"runs/{second}/cancel")["state"] == "cancelled"
    wait_until(lambda: live.get(f"runs/{first}")["state"] == "running", 10)
    live.post(f"runs/{first}/cancel")
    assert live.ended(first)["state"] in ("cancelled", "succeeded")
    assert live.ended(second)["attempt"] == 0
    wait_until(lambda: set(live.pids()) == {"control", "gateway"}, 10)


@pytest.mark.slow
def test_a_stopped_run_is_fenced_off(live: LivePlatform) -> None:
    run = live.post("datasets", {"name": "wine", "builtin": "wine"})["id"]
    live.kill(f"run/{run}/1", signal.SIGSTOP)
    ended = live.ended(run, 90)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    assert len(live.get("datasets/wine")["versions"]) == 1


def test_after_a_restart_of_everything_deployments_serve_again_and_runs_go_on(live: LivePlatform) -> None:
    deployed(live)
    run = live.post("datasets", {"name": "wine", "builtin": "wine"})["id"]
    wait_until(lambda: live.get(f"runs/{run}")["state"] == "running", 10)
    Connection(live.home.launcher_socket).stop()
    live.child.wait(timeout=30)
    live.http.close()
    live.start()
    wait_until(lambda: live.serves("colours") == "1", 10)
    ended = live.ended(run)
    assert ended["state"] == "succeeded"
