"""A version that needs a sandbox, from its deployment to its answers, over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from boxed_packages import write_program_package
from boxes import needs_bubblewrap
from control_seed import publish
from launching import lives
from live_platform import LivePlatform
from modelyard.control.bootstrap import open_platform
from modelyard.home import Home
from modelyard.trust.processes import tree
from modelyard.types.run import RunOutcome
from small_package import answers, write_package
from waiting import wait_until

pytestmark = [pytest.mark.slow, needs_bubblewrap]  # real processes


@pytest.fixture
def live(home: Home, tmp_path: Path) -> Iterator[LivePlatform]:
    """With the same model twice: as ONNX (version 1) and as a program that needs a sandbox (version 2)."""
    platform = open_platform(home)
    outcome = RunOutcome(state="succeeded", outputs={"package": "package"})
    write_package(tmp_path / "plain/package")
    write_program_package(tmp_path / "program/package")
    for folder in ("plain", "program"):
        publish(platform, tmp_path / folder, outcome, {"model": "colours"})
    platform.database.close()
    with LivePlatform(home) as live:
        yield live


def serving(live: LivePlatform, name: str) -> bool:
    """Whether the gateway has heard of it too."""
    return live.get(f"deployments/{name}")["state"] == "ready" and live.serves(name) is not None


def ask(live: LivePlatform, name: str) -> tuple[str, Any]:
    rows = {"a": [0.5, -1.0, 2.0], "b": [0.1, 3.0, -0.7]}
    tensors = [{"name": n, "datatype": "FP64", "shape": [3], "data": v} for n, v in rows.items()]
    url = f"{live.config.gateway_url}/v2/models/{name}/infer"
    headers = {"Authorization": live.http.headers["Authorization"]}
    response = httpx.post(url, json={"inputs": tensors}, headers=headers, trust_env=False)
    assert response.status_code == 200, response.text
    said = response.json()
    return said["model_version"], np.array(said["outputs"][0]["data"], np.float32).reshape(3, -1)


def test_a_program_answers_as_onnx_does(live: LivePlatform) -> None:
    for name, version in (("plain", 1), ("boxed", 2)):
        live.post("deployments", {"name": name, "model": "colours", "version": version})
        wait_until(lambda name=name: serving(live, name), 60, name)
    (first, plain), (second, boxed) = ask(live, "plain"), ask(live, "boxed")
    assert (first, second) == ("1", "2")
    assert plain.shape == (3, answers(np.zeros((1, 2))).shape[1])
    np.testing.assert_allclose(boxed, plain, rtol=1e-4, atol=1e-5)
    pids = live.pids()
    assert len(tree(pids["replica/plain/1/0"])) == 1
    boxed_pids = tree(pids["replica/boxed/2/0"])
    assert [psutil.Process(pid).name() for pid in boxed_pids].count("bwrap") == 2
    live.http.delete("/api/v1/deployments/boxed").raise_for_status()
    wait_until(lambda: not [pid for pid in boxed_pids if lives(pid)], 20)


def test_from_one_to_the_other_without_a_failure(live: LivePlatform) -> None:
    """A deployment goes over from ONNX to a sandbox and back; those who ask hear nothing of it."""
    live.post("deployments", {"name": "colours", "model": "colours", "version": 1})
    wait_until(lambda: serving(live, "colours"), 60)
    for version in ("2", "1"):
        live.patch("deployments/colours", {"split": {version: 1.0}})
        wait_until(lambda version=version: ask(live, "colours")[0] == version, 60, version)
