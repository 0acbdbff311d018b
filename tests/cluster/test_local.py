"""Processes with limits."""

import asyncio
import json
import os
import sys

import pytest

from modelyard.cluster import local
from modelyard.cluster.identity import Identity, identify
from modelyard.types.process import ProcessSpec


def _run(tmp_path, code, **fields):
    """Exit status and output of a process that runs `code`."""
    spec = ProcessSpec(id="x", argv=(sys.executable, "-c", code), log=str(tmp_path / "log"), **fields)

    async def work():
        return await local.start(spec, "marker/x").ended()

    status = asyncio.run(asyncio.wait_for(work(), 20))
    return status, (tmp_path / "log").read_text()


def test_output_is_appended_and_input_is_empty(tmp_path):
    (tmp_path / "log").write_text("before\n")
    code = "import sys; print(repr(sys.stdin.read())); print('err', file=sys.stderr); sys.exit(3)"
    status, log = _run(tmp_path, code)
    assert status == 3
    assert log == "before\n''\nerr\n"


def test_only_the_declared_environment_and_no_descriptor(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "x")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    fd = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        code = (
            "import json, os; leader = os.getsid(0) == os.getpid()\n"
            "print(json.dumps([dict(os.environ), os.listdir('/proc/self/fd'), leader]))"
        )
        _, log = _run(tmp_path, code, env={"GIVEN": "1"})
    finally:
        os.close(fd)
    environment, descriptors, leader = json.loads(log)
    assert environment["GIVEN"] == "1"
    assert environment["YARD_PROCESS"] == "marker/x"
    assert environment["PIP_INDEX_URL"] == "https://index.example/simple"
    assert "A_SECRET" not in environment
    assert len(descriptors) == 4  # the three and the one that lists them
    assert leader


def test_limits_hold(tmp_path):
    code = (
        "import os, resource as r; print(*map(r.getrlimit, (r.RLIMIT_DATA, r.RLIMIT_NOFILE)), os.nice(0))\n"
        "bytearray(600 << 20)"
    )
    status, log = _run(tmp_path, code, memory_bytes=512 << 20, open_files=64, nice=os.nice(0) + 3)
    assert log.splitlines()[0] == f"({512 << 20}, {512 << 20}) (64, 64) {os.nice(0) + 3}"
    assert "MemoryError" in log
    assert status == 1


def test_a_signal_is_a_negative_status(tmp_path):
    status, _ = _run(tmp_path, "import os; os.kill(os.getpid(), 11)")
    assert status == -11


def test_a_fault_of_the_life_before_is_removed(tmp_path):
    fault = tmp_path / "fault"
    fault.write_text("{}")
    _, log = _run(tmp_path, f"import os; print(os.path.exists({str(fault)!r}))", fault_file=str(fault))
    assert log == "False\n"


def test_without_pidfd_ends_are_found_by_polling(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    assert _run(tmp_path, "raise SystemExit(5)")[0] == 5


def test_a_program_that_is_missing_raises(tmp_path):
    spec = ProcessSpec(id="x", argv=("/nonexistent",), log=str(tmp_path / "log"))
    with pytest.raises(FileNotFoundError):
        local.start(spec, "m")


def test_identity():
    me = identify(os.getpid())
    assert me.alive()
    assert not Identity(pid=me.pid, started="another").alive()
    assert identify(2**22 + 1) is None
