"""The platform's own API for runs that a client drives, over HTTP."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_seed import LiveControl, add_run, write_config
from modelyard.control.services import external_runs, run_queue
from modelyard.home import Home


@pytest.fixture(scope="module")
def control(opened_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveControl]:
    root = tmp_path_factory.mktemp("external") / "home"
    shutil.copytree(opened_home, root)
    home = Home(root)
    write_config(home)
    with LiveControl(home) as live:
        yield live


def begin(control: LiveControl, **fields: Any) -> Any:
    return control.post("runs/external", {"name": "mine", "source": "notebook a.ipynb"} | fields)


def refused(control: LiveControl, status: int, code: str, method: str, path: str, **options: Any) -> None:
    response = control.http.request(method, f"/api/v1/{path}", **options)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text


def test_a_run_from_beginning_to_end(control: LiveControl) -> None:
    run = begin(control, params={"lr": "0.1"}, tags={"team": "a"}, experiment="notebooks")
    assert (run["kind"], run["state"], run["attempt"]) == ("external", "running", 0)
    assert run["params"] == {"name": "mine", "source": "notebook a.ipynb", "params": {"lr": "0.1"}}
    points = [["loss", 1, 0.5, 10.0], ["loss", 2, None, 11.5], ["loss", -1, 0.75, 9], ["acc", 2, 1, 12.0]]
    path = f"/api/v1/runs/{run['id']}/metrics"
    assert control.http.post(path, json={"points": points}).status_code == 204
    found = control.get(f"runs/{run['id']}/metrics")["metrics"]
    assert found == {"acc": [[2, 1.0]], "loss": [[-1, 0.75], [1, 0.5], [2, None]]}
    ended = control.post(
        f"runs/{run['id']}/end", {"state": "succeeded", "summary": {"loss": 0.4, "note": "ok"}}
    )
    assert (ended["state"], ended["summary"]) == ("succeeded", {"acc": 1.0, "loss": 0.4, "note": "ok"})
    assert (
        control.post(f"runs/{run['id']}/end", {"state": "succeeded"})["state"] == "succeeded"
    )  # again: no harm
    refused(control, 409, "conflict", "POST", f"runs/{run['id']}/end", json={"state": "failed"})
    refused(control, 409, "conflict", "POST", f"runs/{run['id']}/metrics", json={"points": []})


def test_the_same_request_again_is_the_same_run(control: LiveControl) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (control.post("runs/external", {"name": "n"}, **headers)["id"] for _ in range(2))
    assert first == again
    refused(control, 409, "conflict", "POST", "runs/external", json={"name": "other"}, headers=headers)


def test_ten_thousand_points_in_one_request(control: LiveControl) -> None:
    run = begin(control)["id"]
    points = [[f"metric {n % 7}", n, n / 7, 1.0 + n] for n in range(10_000)]
    assert control.http.post(f"/api/v1/runs/{run}/metrics", json={"points": points}).status_code == 204
    assert sum(map(len, control.get(f"runs/{run}/metrics")["metrics"].values())) == 10_000
    refused(
        control, 400, "invalid_input", "POST", f"runs/{run}/metrics", json={"points": [*points, points[0]]}
    )


def test_files_of_a_run(control: LiveControl) -> None:
    run = begin(control)["id"]
    for path, text in (("plots/loss.png", b"one"), ("plots/loss.png", b"two"), ("a b.txt", b"")):
        made = control.http.put(f"/api/v1/runs/{run}/artifacts/{path}", content=text)
        assert (made.status_code, made.json()["size"]) == (201, len(text))
    assert control.get(f"runs/{run}/artifacts")["items"] == [
        {"path": "a b.txt", "is_dir": False, "size": 0}, {"path": "plots", "is_dir": True, "size": None},
    ]  # fmt: skip
    inside = control.http.get(f"/api/v1/runs/{run}/artifacts", params={"path": "plots"}).json()
    assert [item["path"] for item in inside["items"]] == ["plots/loss.png"]
    found = control.http.get(f"/api/v1/runs/{run}/artifacts/files/plots/loss.png")
    assert (found.content, found.headers["content-security-policy"].split(";")[0]) == (b"two", "sandbox")
    refused(control, 404, "not_found", "GET", f"runs/{run}/artifacts/files/nothing")
    for path in ("a%00b", "..%2f..%2fx", "a//b", "%2e%2e/x"):
        response = control.http.put(f"/api/v1/runs/{run}/artifacts/{path}", content=b"x")
        assert response.status_code in (400, 404), response.text


@pytest.mark.parametrize(
    "points",
    ["x", [1], [[]], [["a", 1, 1]], [["a", 1.5, 1, 1]], [["a", True, 1, 1]], [[1, 1, 1, 1]], [["a", 1, "x", 1]],
     [["", 1, 1, 1]], [["a", 2**64, 1, 1]], [["a", 1, 1, 1e300]], [["a", 1, [1], 1]], [["a\0", 1, 1, 1]]],
)  # fmt: skip
def test_points_that_are_none(control: LiveControl, points: Any) -> None:
    run = begin(control)["id"]
    refused(control, 400, "invalid_input", "POST", f"runs/{run}/metrics", json={"points": points})


@pytest.mark.parametrize(
    "body",
    [{"tenant": "other"}, {"params": {"a": 1}}, {"params": {"a" * 300: "1"}}, {"tags": {"a": "b" * 9000}},
     {"experiment": "\0"}, {"experiment": " "}, {"name": "a\0b"}, {"params": {str(n): "" for n in range(1001)}}],
)  # fmt: skip
def test_bodies_that_are_no_run(control: LiveControl, body: Any) -> None:
    refused(control, 400, "invalid_input", "POST", "runs/external", json={"name": "n"} | body)


def test_what_is_not_there(control: LiveControl) -> None:
    for method, rest in (("POST", "metrics"), ("POST", "end"), ("GET", "artifacts"), ("PUT", "artifacts/x")):
        bodies = {"metrics": {"json": {"points": []}}, "end": {"json": {"state": "failed"}}}
        options: Any = bodies.get(rest, {})
        refused(control, 404, "not_found", method, f"runs/run_{'0' * 26}/{rest}", **options)


def test_the_run_loop_leaves_them_alone(platform: Any) -> None:
    asked = external_runs.NewExternal(name="mine")
    made = external_runs.create(platform, "default", asked, None)
    ours = add_run(platform, state="running", attempt=1)
    assert [run.id for run in run_queue.running(platform)] == [ours]
    assert made.state == "running"


def test_another_tenants_run_is_not_there(platform: Any) -> None:
    from control_seed import add_tenant
    from modelyard.errors import NotFound

    add_tenant(platform, "other")
    made = external_runs.create(platform, "other", external_runs.NewExternal(), None)
    with pytest.raises(NotFound):
        external_runs.list_artifacts(platform, "default", made.id, "")
    with pytest.raises(NotFound):
        external_runs.log_points(platform, "default", made.id, [])
