"""What `yard doctor` says of isolation."""

import pytest

from control_seed import write_config
from modelyard.cli.checks import check_all
from modelyard.home import Home
from modelyard.trust import sandbox


def isolation(home):
    (found,) = [f for f in check_all(home) if f.check == "isolation"]
    return found


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.mark.skipif(sandbox.kind() != "bubblewrap", reason="no sandbox here")
def test_there_is_a_sandbox(home):
    assert isolation(home).level == "ok"
    assert "bubblewrap" in isolation(home).found


def test_there_is_none(home, monkeypatch):
    monkeypatch.setattr(sandbox, "lacking", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    found = isolation(home)
    assert found.level == "note"
    assert "bubblewrap is not installed" in found.found
    assert "refused" in found.found
    assert "apt-get install bubblewrap" in found.remedy
    assert "--allow-unsandboxed" in found.remedy


def test_there_is_none_and_that_was_allowed(home, monkeypatch):
    monkeypatch.setattr(sandbox, "lacking", lambda: "there is none on Darwin")
    write_config(home, allow_unsandboxed=True)
    found = isolation(home)
    assert "with the platform's own rights" in found.found
    assert "--no-allow-unsandboxed" in found.remedy
