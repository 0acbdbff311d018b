"""Logs stay bounded while their processes go on writing them."""

import os
import stat
from pathlib import Path

from launching import Platform
from modelyard.cluster.logs import LIMIT, bound
from waiting import wait_until


def append(path: Path) -> int:
    """As the launcher opens a log for a process."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def test_a_large_log_is_put_aside_and_written_on(tmp_path: Path) -> None:
    log, kept = tmp_path / "gateway.log", tmp_path / "gateway.log.1"
    writer = append(log)
    try:
        for number in range(100):
            os.write(writer, b"line %03d\n" % number)
        bound(tmp_path, limit=94)
        assert log.read_bytes() == b""
        assert kept.read_bytes() == b"".join(b"line %03d\n" % n for n in range(90, 100))  # whole lines
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        os.write(writer, b"later\n")
        assert log.read_bytes() == b"later\n"  # at the start: no hole where the old bytes were
        os.write(writer, b"x" * 94 + b"\nlast\n")
        bound(tmp_path, limit=94)
        assert kept.read_bytes() == b"last\n"
    finally:
        os.close(writer)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gateway.log", "gateway.log.1"]


def test_small_logs_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "small.log").write_bytes(b"x" * 10)
    (tmp_path / "old.log.1").write_bytes(b"x" * 100)
    bound(tmp_path, limit=10)
    assert sorted((p.name, p.stat().st_size) for p in tmp_path.iterdir()) == [
        ("old.log.1", 100),
        ("small.log", 10),
    ]


def test_a_log_that_cannot_be_put_aside_is_left_alone(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(b"x\n" * 10)
    (tmp_path / "a.log.1").mkdir()
    bound(tmp_path, limit=10)
    assert [(tmp_path / name).stat().st_size for name in ("a.log", "b.log")] == [20, 0]


def test_the_launcher_does_it(tmp_path: Path) -> None:
    with Platform(tmp_path / "home") as platform:
        platform.kill_launcher()
        log = platform.home.logs / "control.log"
        log.write_bytes(b"line\n" * (LIMIT // 5 + 1))
        platform.launch()
        wait_until(lambda: log.stat().st_size == 0, 10)
        assert log.with_name("control.log.1").stat().st_size <= LIMIT
