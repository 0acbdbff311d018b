"""Environments that are really built: by pip, from wheels in a folder."""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from launching import lives
from modelyard import environments
from modelyard.environments import build, shelf
from modelyard.errors import Cancelled, Conflict, DeadlineExceeded, InvalidInput, NotFound
from waiting import wait_until
from wheels import only_from, sha256, write_wheel

pytestmark = pytest.mark.slow  # real builds by pip


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels: two versions of one small library, one that needs another, one of a platform's own."""
    folder = tmp_path / "index"
    for version in ("1.0", "2.0"):
        write_wheel(folder, "yardsmall", version)
    write_wheel(folder, "yardneedy", "1.0", requires=("yardsmall>=2", "numpy"))
    write_wheel(folder, "packaging", "1.0")
    only_from(folder, monkeypatch)
    return folder


@pytest.fixture
def root(tmp_path):
    yield tmp_path / "environments"
    let_go()


def let_go():
    """As the end of this process would."""
    while build._held:
        os.close(build._held.pop())


def said_by(python, code):
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def platform_state():
    """What the platform's own environment holds, file by file at the top and in what pip keeps of each package."""
    folder = Path(sysconfig.get_paths()["purelib"])
    known = [f"{p.name} {p.lstat().st_mtime_ns}" for p in sorted(folder.iterdir()) if p.name != "__pycache__"]
    known += [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*-info/RECORD"))]
    return known


def test_two_versions_of_one_library_side_by_side(index, root):
    heard: list[str] = []
    before = platform_state()
    first = environments.ensure(root, "yardsmall==1.0", heard.append)
    second = environments.ensure(root, "yardsmall==2.0", heard.append)
    code = "import yardsmall; print(yardsmall.__version__)"
    assert (said_by(first, code), said_by(second, code)) == ("1.0", "2.0")
    assert platform_state() == before
    assert first == environments.python_of(root, environments.digest("yardsmall==1.0"))
    assert any("Successfully installed yardsmall-1.0" in line for line in heard)
    assert not [line for line in heard if str(root) in line]


def test_the_platform_stands_behind(index, root):
    """Its own libraries are there and are not installed again; what is wanted in another version wins."""
    heard: list[str] = []
    before = platform_state()
    python = environments.ensure(root, "numpy\nyardneedy\npackaging==1.0", heard.append)
    code = (
        "import numpy, packaging, yardsmall, yardneedy, modelyard\n"
        "print(numpy.__file__, packaging.__version__, yardsmall.__version__)"
    )
    file, *versions = said_by(python, code).split()
    assert Path(file).is_relative_to(sysconfig.get_paths()["purelib"])
    assert versions == ["1.0", "2.0"]
    made = shelf.read_made(python.parents[1])
    assert made is not None
    assert made.installed == {"packaging": "1.0", "yardneedy": "1.0", "yardsmall": "2.0"}
    assert platform_state() == before
    import packaging

    assert packaging.__version__ != "1.0"


@pytest.mark.slow
def test_pip_never_touches_the_platform(index, root):
    """Not even when it is asked to, inside an environment."""
    before = platform_state()
    python = environments.ensure(root, "packaging==1.0", lambda line: None)
    done = subprocess.run(
        [python, "-m", "pip", "uninstall", "--yes", "numpy"], capture_output=True, text=True
    )
    assert "outside environment" in done.stdout + done.stderr
    assert platform_state() == before


def test_it_is_built_once(index, root):
    heard: list[str] = []
    python = environments.ensure(root, "yardsmall==1.0  # as it was", heard.append)
    built = len(heard)
    stamp = (python.parents[1] / "made.json").stat().st_mtime_ns
    assert environments.ensure(root, "YardSmall == 1.0", heard.append) == python
    assert len(heard) == built
    assert (python.parents[1] / "made.json").stat().st_mtime_ns == stamp


def test_two_processes_at_once_build_once(index, root):
    code = (
        "import sys, pathlib; from modelyard import environments\n"
        "print(environments.ensure(pathlib.Path(sys.argv[1]), 'yardneedy', lambda line: print(line)))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)
        for _ in "12"
    ]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("Successfully installed" in text for text in said) == 1
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]


def test_what_has_no_wheel_is_said(index, root):
    with pytest.raises(InvalidInput, match=r"no wheel fits .*; came: yardabsent"):
        environments.ensure(root, "yardabsent", lambda line: None)
    with pytest.raises(InvalidInput, match=r"no wheel fits .*; came: yardsmall==3.0"):
        environments.ensure(root, "yardsmall==3.0", lambda line: None)


@pytest.mark.slow
def test_a_source_package_is_not_built(index, root, tmp_path):
    """Its setup.py would run."""
    import tarfile

    (tmp_path / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: yardsource\nVersion: 1.0\n")
    with tarfile.open(index / "yardsource-1.0.tar.gz", "w:gz") as archive:
        for name in ("setup.py", "PKG-INFO"):
            archive.add(tmp_path / name, f"yardsource-1.0/{name}")
    with pytest.raises(InvalidInput, match="no wheel fits"):
        environments.ensure(root, "yardsource", lambda line: None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_what_cannot_be_met_together_is_said(index, root):
    with pytest.raises(InvalidInput, match="cannot be installed") as caught:
        environments.ensure(root, "yardneedy\nyardsmall<2", lambda line: None)
    assert "conflicting dependencies" in caught.value.message or "Cannot install" in caught.value.message
    assert str(root) not in caught.value.message


@pytest.mark.slow
def test_hashes_are_kept_to(index, root):
    good = sha256(index / "yardsmall-1.0-py3-none-any.whl")
    python = environments.ensure(root, f"yardsmall==1.0 --hash=sha256:{good}", lambda line: None)
    assert said_by(python, "import yardsmall; print(yardsmall.__version__)") == "1.0"
    with pytest.raises(InvalidInput, match=r"DO NOT MATCH|cannot be installed"):
        environments.ensure(root, f"yardsmall==1.0 --hash=sha256:{'0' * 64}", lambda line: None)


def test_what_was_left_half_is_built_anew(index, root):
    folder = root / environments.digest("yardsmall==1.0")
    (folder / "lib/python3.11/site-packages").mkdir(parents=True)
    (folder / "lib/python3.11/site-packages/yardsmall.py").write_text("broken(")
    python = environments.ensure(root, "yardsmall==1.0", lambda line: None)
    assert said_by(python, "import yardsmall; print(yardsmall.__version__)") == "1.0"


@pytest.mark.slow
def test_a_failure_leaves_nothing_whole(index, root):
    with pytest.raises(InvalidInput):
        environments.ensure(root, "yardabsent", lambda line: None)
    (found,) = shelf.list_shelved(root)
    assert found.made is None
    write_wheel(index, "yardabsent", "1.0")
    python = environments.ensure(root, "yardabsent", lambda line: None)
    assert said_by(python, "import yardabsent; print(yardabsent.__version__)") == "1.0"


def test_who_hears_may_stop_it(index, root):
    def stop(line: str) -> None:
        if "Processing" in line or "Looking" in line:
            raise Cancelled("not wanted any more")

    with pytest.raises(Cancelled):
        environments.ensure(root, "yardsmall==1.0", stop)
    shelf.remove(root, environments.digest("yardsmall==1.0"))  # nobody holds it: pip has ended too


@pytest.mark.slow
def test_a_builder_that_is_killed_leaves_nobody_behind(index, root, tmp_path):
    """The next one builds it; the pip of the killed one holds the lock until it has ended."""
    code = (
        "import os, sys, pathlib; from modelyard import environments\n"
        "def say(line):\n  if 'Looking' in line: print(os.getpid(), flush=True); os.kill(os.getpid(), 9)\n"
        "environments.ensure(pathlib.Path(sys.argv[1]), 'yardneedy', say)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert not lives(int(killed.stdout))
    python = environments.ensure(root, "yardneedy", lambda line: None)
    assert said_by(python, "import yardneedy, yardsmall; print(yardsmall.__version__)") == "2.0"


def test_it_does_not_take_for_ever(index, root):
    with pytest.raises(DeadlineExceeded):
        environments.ensure(root, "yardsmall==1.0", lambda line: None, seconds=0.05)


def test_what_is_in_use_is_not_removed(index, root):
    code = (
        "import sys, pathlib; from modelyard import environments\n"
        "environments.ensure(pathlib.Path(sys.argv[1]), 'yardsmall==1.0', lambda line: None)\n"
        "print(flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(root)]
    digest = environments.digest("yardsmall==1.0")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        with pytest.raises(Conflict, match="in use"):
            shelf.remove(root, digest)
        user.communicate()
    shelf.remove(root, digest)
    assert shelf.list_shelved(root) == []
    assert list(root.iterdir()) == []


@pytest.mark.slow
def test_another_waits_until_it_is_built(index, root):
    """A thread stands for the other process: the lock is of an open file, not of a process."""
    digest = environments.digest("yardsmall==1.0")
    root.mkdir()
    heard: list[str] = []
    with shelf.held(root, digest, alone=True):
        waiting = threading.Thread(target=environments.ensure, args=(root, "yardsmall==1.0", heard.append))
        waiting.start()
        wait_until(lambda: any("which another builds" in line for line in heard))
        assert not (root / digest).exists()
    waiting.join(60)
    assert shelf.read_made(root / digest) is not None


@pytest.mark.slow
def test_where_the_platform_has_changed_it_is_built_anew(index, root, monkeypatch):
    python = environments.ensure(root, "yardsmall==1.0", lambda line: None)
    (python.parents[1] / "left").touch()
    let_go()
    monkeypatch.setattr(build, "_platform_state", lambda: "another")
    heard: list[str] = []
    assert environments.ensure(root, "yardsmall==1.0", heard.append) == python
    assert any("have changed" in line for line in heard)
    made = shelf.read_made(python.parents[1])
    assert made is not None
    assert made.platform == "another"
    assert not (python.parents[1] / "left").exists()


@pytest.mark.slow
def test_where_it_cannot_be_built_anew_it_stays(index, root, monkeypatch, tmp_path):
    python = environments.ensure(root, "yardsmall==1.0", lambda line: None)
    let_go()
    monkeypatch.setattr(build, "_platform_state", lambda: "another")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    heard: list[str] = []
    assert environments.ensure(root, "yardsmall==1.0", heard.append) == python
    assert any("stays as it was" in line for line in heard)
    assert said_by(python, "import yardsmall; print(yardsmall.__version__)") == "1.0"


@pytest.mark.slow
def test_where_something_runs_in_it_it_is_left_alone(index, root, monkeypatch):
    python = environments.ensure(root, "yardsmall==1.0", lambda line: None)  # and holds it
    monkeypatch.setattr(build, "_platform_state", lambda: "another")
    stamp = (python.parents[1] / "made.json").stat().st_mtime_ns
    assert environments.ensure(root, "yardsmall==1.0", lambda line: None) == python
    assert (python.parents[1] / "made.json").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_code_of_a_package_never_runs_while_building(index, root, monkeypatch, tmp_path):
    """A .pth file runs at each start of a Python; a script named python stands in the place of it."""
    ran = tmp_path / "ran"
    evil = {"yardevil.pth": f"import os; open({str(ran)!r}, 'a').close()\n",
            "yardevil-1.0.data/scripts/python": f"#!/bin/sh\ntouch {ran}\n"}  # fmt: skip
    write_wheel(index, "yardevil", "1.0", files=evil)
    for state in ("first", "second"):
        monkeypatch.setattr(build, "_platform_state", lambda state=state: state)
        python = environments.ensure(root, "yardevil", lambda line: None)
        let_go()
    assert not ran.exists()
    assert Path(sys.executable).resolve().stat().st_size > 1000
    subprocess.run([python], check=True)
    assert ran.exists()  # it would have


@pytest.mark.slow
def test_a_replica_enters_it(index, root, tmp_path):
    """`enter` builds it and becomes the command; it is held as long as that runs."""
    digest = environments.digest("yardsmall==2.0")
    (tmp_path / "requirements.txt").write_text("yardsmall==2.0\n")
    code = "import yardsmall, sys; print(yardsmall.__version__, flush=True); sys.stdin.read()"
    argv = [sys.executable, "-m", "modelyard.environments.enter", str(root), digest]
    argv += ["--requirements", str(tmp_path / "requirements.txt"), "--"]
    argv += [str(environments.python_of(root, digest)), "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        wait_until(lambda: process.stdout.readline() == "2.0\n", 60)
        with pytest.raises(Conflict):
            shelf.remove(root, digest)
        process.communicate()


def test_why_it_cannot_be_entered_is_left(index, root, tmp_path):
    fault = tmp_path / "fault.json"
    argv = [sys.executable, "-m", "modelyard.environments.enter", str(root), "0" * 64]
    done = subprocess.run([*argv, "--fault-file", str(fault), "--", "/bin/true"], capture_output=True)
    assert done.returncode == 78
    assert json.loads(fault.read_bytes())["code"] == "not_found"
    with pytest.raises(NotFound):
        shelf.read_text(root, "0" * 64)


@pytest.mark.slow
def test_the_real_index_with_two_versions_of_a_real_library(root):
    """Needs a package index: whichever this machine's pip is set to."""
    code = "import tabulate; print(tabulate.__version__)"
    try:
        first = environments.ensure(root, "tabulate==0.8.10", lambda line: None)
    except environments.build.Unavailable:
        pytest.skip("no package index can be reached")
    second = environments.ensure(root, "tabulate==0.9.0", lambda line: None)
    with subprocess.Popen([first, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert said_by(second, code) == "0.9.0"
        assert one.communicate()[0].strip() == "0.8.10"
