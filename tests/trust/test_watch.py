"""Limits of a whole tree: what passes one is ended, and the limit is named."""

import sys
import time
from pathlib import Path

import pytest

from boxes import Cell, needs_bubblewrap
from launching import lives
from modelyard.errors import DeadlineExceeded, TooLarge
from modelyard.trust import sandbox
from modelyard.trust.processes import tree
from modelyard.trust.sandbox import Limits
from modelyard.trust.watch import Passed, Watch
from waiting import wait_until

pytestmark = [needs_bubblewrap, pytest.mark.slow]  # real sandboxes, one after the other
MIB = 1 << 20


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    (tmp_path / "cell").mkdir()
    return Cell(folder=tmp_path / "cell")


@pytest.mark.parametrize(
    ("code", "limits", "limit"),
    [
        ("while True: pass", Limits(seconds=0.5), "seconds"),
        (
            "x = [b'x' * (4 << 20) for n in range(75)]\nimport time; time.sleep(60)",
            Limits(memory_bytes=200 * MIB),
            "memory_bytes",
        ),
        (  # each of them alone is within the limit
            "import os, time\n"
            "for n in range(5): os.fork() or (x := b'x' * (30 << 20), time.sleep(60))\n"
            "time.sleep(60)",
            Limits(memory_bytes=100 * MIB),
            "memory_bytes",
        ),
        (
            "f = open('/tmp/x', 'wb')\nwhile True: f.write(b'x' * 65536)",
            Limits(memory_bytes=100 * MIB),
            "memory_bytes",
        ),
        (
            "f = open('/dev/shm/x', 'wb')\nwhile True: f.write(b'x' * 65536)",
            Limits(memory_bytes=100 * MIB),
            "memory_bytes",
        ),
        (
            "import mmap\nm = mmap.mmap(-1, 400 << 20)\nfor n in range(400): m.write(b'x' * (1 << 20))",
            Limits(memory_bytes=200 * MIB),
            "memory_bytes",
        ),
        ("import os\nwhile True: os.fork()", Limits(processes=20), "processes"),
        (
            "import os, time\nfor n in range(50):\n"
            "  if os.fork() == 0:\n    os.setsid(); os.fork(); time.sleep(60)\ntime.sleep(60)",
            Limits(processes=20),
            "processes",
        ),
        (
            "n = 0\nwhile True:\n  n += 1\n  with open(f'{n}', 'wb') as f: f.write(b'x' * (1 << 20))",
            Limits(disk_bytes=60 * MIB),
            "disk_bytes",
        ),
        (
            "import os\nf = open('x', 'wb'); os.unlink('x')\nwhile True: f.write(b'x' * 65536)",
            Limits(disk_bytes=60 * MIB),
            "disk_bytes",
        ),
    ],
    ids=[
        "loop",
        "memory",
        "memory of many",
        "tmp",
        "shm",
        "shared",
        "fork bomb",
        "daemons",
        "disk",
        "unlinked",
    ],
)
def test_what_passes_a_limit_is_ended(cell, code, limits, limit):
    inside = cell.run(code, limits=limits)
    assert inside.ended.passed is not None, inside.output
    assert inside.ended.passed.limit == limit
    assert inside.ended.passed.found > inside.ended.passed.allowed
    assert inside.ended.code == 128 + 9


def test_a_file_of_ten_gigabytes(cell):
    """A hole counts for nothing on the disk, but the file's own limit holds."""
    inside = cell.run(
        """
        import os
        f = open("big", "wb")
        tried(os.ftruncate, f.fileno(), 10 << 30)
        tried(os.posix_fallocate, f.fileno(), 0, 10 << 30)
        tried(os.pwrite, f.fileno(), b"x", 10 << 30)
        """,
        limits=Limits(file_bytes=100 * MIB),
    )
    assert inside.lines == ["refused OSError 27"] * 3  # EFBIG
    assert (cell.folder / "big").stat().st_size == 0


def test_address_space_is_bounded_at_once(cell):
    """More than could be touched between two looks is not given."""
    inside = cell.run("tried(bytearray, 4 << 30)", limits=Limits(memory_bytes=500 * MIB))
    assert inside.lines == ["refused MemoryError "]


def test_a_full_temporary_folder(cell):
    inside = cell.run(
        """
        def fill(path):
            with open(path, "wb") as f:
                while True: f.write(b"x" * 65536)
        tried(fill, "/tmp/x")
        tried(fill, "/dev/shm/x")
        """,
        limits=Limits(temporary_bytes=20 * MIB),
    )
    assert inside.lines == ["refused OSError 28"] * 2  # ENOSPC


def test_what_was_there_before_does_not_count(cell):
    (cell.folder / "old").write_bytes(b"x" * (80 * MIB))
    inside = cell.run("import time; time.sleep(0.5)", limits=Limits(disk_bytes=60 * MIB))
    assert inside.ended.passed is None


def test_what_processes_share_counts_once(cell):
    """Workers that were forked from a parent with much memory hold nothing of their own."""
    code = (
        "import os, time\nx = b'x' * (120 << 20)\nfor n in range(6):\n"
        "  if os.fork() == 0: time.sleep(1); os._exit(0)\ntime.sleep(1.2)"
    )
    inside = cell.run(code, limits=Limits(memory_bytes=300 * MIB))
    assert inside.ended.passed is None
    assert inside.ended.code == 0


def test_sigterm_comes_to_the_code_inside(cell):
    code = "import signal, sys, time\nsignal.signal(15, lambda *a: sys.exit(3))\nopen('ready', 'w')\ntime.sleep(60)"
    box = cell.box()
    child = sandbox.start([sys.executable, "-c", code], box, stdout=None, stderr=None)
    watch = Watch(child, box)
    wait_until(lambda: (cell.folder / "ready").exists(), 20)
    watch.terminate()
    ended = watch.wait(10)
    assert ended is not None
    assert ended.code == 3


def test_end_leaves_nothing(cell):
    code = (
        "import os, time\nfor n in range(3):\n  if os.fork() == 0: os.setsid()\n"
        "open('ready', 'w')\ntime.sleep(60)"
    )
    box = cell.box()
    child = sandbox.start([sys.executable, "-c", code], box, stdout=None, stderr=None)
    watch = Watch(child, box)
    wait_until(lambda: (cell.folder / "ready").exists() and len(tree(child.pid)) >= 10, 20)
    pids = tree(child.pid)
    watch.end()
    child.wait()
    assert not [pid for pid in pids if lives(pid)]
    watch.end()  # a second time it does no harm


def test_waiting_is_bounded(cell):
    box = cell.box()
    child = sandbox.start(["/bin/sleep", "60"], box, stdout=None, stderr=None)
    watch = Watch(child, box)
    began = time.monotonic()
    assert watch.wait(0.2) is None
    assert time.monotonic() - began < 5
    watch.end()
    assert watch.wait(10) is not None


def test_without_a_sandbox_the_tree_is_ended_too(cell, monkeypatch):
    monkeypatch.setattr(sandbox, "lacking", lambda: "there is none")
    code = "import os, time\nfor n in range(40): os.fork() or time.sleep(60)\ntime.sleep(60)"
    inside = cell.run(code, limits=Limits(processes=20))
    assert inside.ended.passed is not None
    assert inside.ended.passed.limit == "processes"


@pytest.mark.parametrize(
    ("limit", "found", "allowed", "text", "kind"),
    [
        ("seconds", 2.5, 2.0, "ran longer than it may; allowed: 2 s", DeadlineExceeded),
        (
            "memory_bytes",
            200 * MIB,
            100 * MIB,
            "more memory than it may use; came: 200 MiB; allowed: 100 MiB",
            TooLarge,
        ),
        (
            "disk_bytes",
            200 * MIB,
            100 * MIB,
            "more to the disk than it may; came: 200 MiB; allowed: 100 MiB",
            TooLarge,
        ),
        ("processes", 21, 20, "more processes or threads than it may; came: 21; allowed: 20", TooLarge),
    ],
)
def test_a_limit_is_named(limit, found, allowed, text, kind):
    passed = Passed(limit=limit, found=found, allowed=allowed)
    assert text in passed.message == str(passed)
    assert type(passed.error()) is kind
