"""`yard env`, against a real platform."""

import os
from pathlib import Path

import pytest

from modelyard import environments
from modelyard.environments import build
from modelyard.errors import NotFound
from stocked import Stocked
from wheels import only_from, write_wheel

pytestmark = pytest.mark.slow  # real processes


def test_environments(stocked: Stocked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(tmp_path / "index", "yardshown", "1.0")
    only_from(tmp_path / "index", monkeypatch)
    folder = stocked.home.environments
    environments.ensure(folder, "yardshown\n", lambda line: None)
    environments.ensure(folder, "yardshown==1.0\n", lambda line: None)
    kept, gone = environments.digest("yardshown"), environments.digest("yardshown==1.0")

    assert {kept, gone} <= {e["digest"] for e in stocked.json("env", "list")}
    lines = [line for line in stocked.yard("env", "list").splitlines() if "yardshown" in line]
    assert {kept[:12], gone[:12]} == {line.split()[0] for line in lines}
    assert stocked.json("env", "show", gone[:8])["installed"] == {"yardshown": "1.0"}
    assert "yardshown" in stocked.yard("env", "show", gone[:8])

    refused = stocked.run("env", "remove", gone[:8])  # this process holds it
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    while build._held:
        os.close(build._held.pop())
    assert f"Removed {gone[:12]}" in stocked.yard("env", "remove", gone[:8])
    with pytest.raises(NotFound):
        stocked.client.environments.show(gone)

    assert stocked.json("env", "collect")["removed"] == []
    assert kept in stocked.json("env", "collect", "--days", "0")["removed"]
    assert "Removed 0 environments" in stocked.yard("env", "collect")
