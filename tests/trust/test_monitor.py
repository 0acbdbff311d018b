"""The process before a sandbox that nobody else watches."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from boxes import Cell, needs_bubblewrap
from launching import lives
from modelyard.trust import sandbox
from modelyard.trust.processes import tree
from modelyard.trust.sandbox import FAULT_FD, SOCKET_FD, Limits
from waiting import wait_until

pytestmark = needs_bubblewrap

SERVE = f"""
import signal, socket, sys, time
s = socket.socket(fileno={SOCKET_FD})
def stop(*a):
    s.close()
    open("drained", "w").close()
    while not __import__("os").path.exists("go"): time.sleep(0.01)
    sys.exit(0)
signal.signal(15, stop)
s.listen()
while True:
    c, _ = s.accept()
    c.sendall(b"hello"); c.close()
"""


class Monitored:
    """A monitored sandbox, as the launcher starts it."""

    def __init__(self, cell: Cell, code: str, **fields: object) -> None:
        self.fault, self.socket = cell.folder.with_suffix(".fault"), cell.folder.with_suffix(".s")
        box = cell.box(**fields)
        argv = sandbox.watched([sys.executable, "-c", code], box, fault_file=self.fault, listen=self.socket)
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self) -> "Monitored":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait(10)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.socket))
            except OSError:
                return False
            return s.recv(5) == b"hello"


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    (tmp_path / "cell").mkdir()
    return Cell(folder=tmp_path / "cell")


def test_it_serves_on_a_socket_that_it_does_not_see(cell):
    """Nobody can connect before it listens; when it has stopped listening, nobody can again."""
    with Monitored(cell, SERVE) as it:
        wait_until(it.answers, 20)
        assert it.socket.stat().st_mode & 0o777 == 0o600
        assert list(cell.folder.iterdir()) == []
        it.child.terminate()
        wait_until(lambda: (cell.folder / "drained").exists(), 10)
        assert not it.answers()
        assert it.child.poll() is None  # it drains
        (cell.folder / "go").touch()
        assert it.child.wait(10) == 0
        assert not it.socket.exists()


def test_a_socket_without_a_listener_refuses(cell):
    with Monitored(cell, "import time; time.sleep(60)") as it:
        wait_until(it.socket.exists, 20)
        assert not it.answers()


def test_the_code_inside_leaves_word(cell):
    code = (
        f'import os; os.write({FAULT_FD}, b\'{{"code": "corrupt", "message": "why"}}\'); raise SystemExit(78)'
    )
    with Monitored(cell, code) as it:
        assert it.child.wait(20) == 78
    assert json.loads(it.fault.read_bytes()) == {"code": "corrupt", "message": "why"}


@pytest.mark.parametrize("said", ["x", "[]", '{"code": 1, "message": "x"}', '{"code": "x"}', "x" * 100_000])
def test_what_is_no_fault_is_not_left(cell, said):
    code = (
        f"import os; os.set_blocking({FAULT_FD}, False); os.write({FAULT_FD}, {said.encode()!r}); os._exit(1)"
    )
    with Monitored(cell, code) as it:
        assert it.child.wait(20) == 1
    assert not it.fault.exists()


def test_a_limit_that_is_passed_is_left_as_the_fault(cell):
    with Monitored(cell, "x = [b'x' * (4 << 20) for n in range(75)]\nimport time; time.sleep(60)",
                   limits=Limits(memory_bytes=200 << 20)) as it:  # fmt: skip
        assert it.child.wait(20) == 75
    fault = json.loads(it.fault.read_bytes())
    assert fault["code"] == "too_large"
    assert "more memory than it may use" in fault["message"]


def test_it_ends_as_the_code_inside_did(cell):
    with Monitored(cell, "import os; os.kill(os.getpid(), 11)") as it:
        assert it.child.wait(20) == -signal.SIGSEGV
    with Monitored(cell, "import os; os.kill(os.getpid(), 9)") as it:
        assert it.child.wait(20) == -signal.SIGKILL
    with Monitored(cell, "raise SystemExit(5)") as it:
        assert it.child.wait(20) == 5


@pytest.mark.parametrize("whole_group", [False, True])
def test_killing_it_leaves_nobody(cell, whole_group):
    """As `kill -9` of its pid, and as the launcher's of its group."""
    code = "import os, time\nfor n in range(2): os.fork()\nos.setsid() if os.getpid() != 2 else 0\ntime.sleep(60)"
    with Monitored(cell, code) as it:
        pids = wait_until(lambda: len(found := tree(it.child.pid)) >= 7 and found, 20)
        if whole_group:
            os.killpg(it.child.pid, signal.SIGKILL)
        else:
            it.child.kill()
        it.child.wait(10)
        wait_until(lambda: not [pid for pid in pids if lives(pid)], 5)


def test_without_a_sandbox_it_does_the_same(cell, monkeypatch):
    """Where that is allowed: it serves, it is watched, and it ends with who watches it."""
    monkeypatch.setattr(sandbox, "lacking", lambda: "there is none")
    with Monitored(cell, SERVE) as it:
        wait_until(it.answers, 20)
        (inner,) = tree(it.child.pid)[1:]
        it.child.kill()
        wait_until(lambda: not lives(inner), 5)
    with Monitored(cell, "x = [b'x' * (4 << 20) for n in range(75)]\nimport time; time.sleep(60)",
                   limits=Limits(memory_bytes=200 << 20)) as it:  # fmt: skip
        assert it.child.wait(20) == 75
