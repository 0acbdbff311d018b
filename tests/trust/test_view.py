"""What bubblewrap is told to show."""

import os
import sys
from pathlib import Path

import modelyard
from modelyard.trust.sandbox import Limits, Sandbox
from modelyard.trust.view import arguments, environment, python_folders


def covered(path: Path) -> bool:
    return any(path == folder or folder in path.parents for folder in (*python_folders(), Path("/usr")))


def test_the_platforms_python_is_seen():
    for path in (
        sys.prefix,
        sys.base_prefix,
        os.__file__,
        modelyard.__file__,
        os.path.realpath(sys.executable),
    ):
        assert covered(Path(path).absolute()), path


def test_no_folder_stands_twice():
    folders = python_folders()
    assert not [a for a in folders for b in folders if a != b and b in a.parents]
    assert Path("/") not in folders


def test_what_is_given_comes_after_what_is_hidden(tmp_path):
    box = Sandbox(cwd=tmp_path, hide=(tmp_path,), read=(tmp_path / "r",), write=(tmp_path / "w",))
    words = arguments(box)
    places = [words.index(str(tmp_path)), words.index(str(tmp_path / "r")), words.index(str(tmp_path / "w"))]
    assert places == sorted(places)
    assert "--share-net" not in words
    assert "--share-net" in arguments(Sandbox(cwd=tmp_path, network=True))


def test_the_environment_is_made_of_nothing_of_the_platforms(tmp_path, monkeypatch):
    monkeypatch.setenv("YARD_API_KEY", "SECRET")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    found = environment(
        Sandbox(cwd=tmp_path, env={"GIVEN": "1", "HOME": "/elsewhere"}, limits=Limits(cpus=2))
    )
    assert "YARD_API_KEY" not in found
    assert "HTTPS_PROXY" not in found
    assert (found["GIVEN"], found["HOME"], found["OMP_NUM_THREADS"]) == ("1", "/elsewhere", "2")
    assert environment(Sandbox(cwd=tmp_path, network=True))["HTTPS_PROXY"] == "http://proxy:1"


def test_it_is_the_same_for_the_same(tmp_path):
    """The launcher starts a process anew whose command has changed."""
    box = Sandbox(cwd=tmp_path, read=(tmp_path,), env={"A": "1"})
    assert arguments(box) == arguments(Sandbox(cwd=tmp_path, read=(tmp_path,), env={"A": "1"}))
