"""The launcher with real processes: restarts, adoption after kill -9, order of stopping, no orphans."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from launching import SLEEP, Platform, lives, spec
from modelyard.cluster import launcher as module
from modelyard.cluster import table
from modelyard.cluster.connection import AsyncConnection, Connection
from modelyard.cluster.launcher import Launcher, end_leftovers
from modelyard.errors import Conflict, InvalidInput, Unavailable
from modelyard.home import Home
from waiting import wait_until


@pytest.fixture
def platform(tmp_path):
    with Platform(tmp_path / "home") as p:
        yield p


def test_own_processes_run_and_the_socket_is_its_owners(platform):
    assert lives(platform.pid("control"))
    assert lives(platform.pid("gateway"))
    assert stat.S_IMODE(platform.home.launcher_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(platform.home.launcher_table.stat().st_mode) == 0o600


def test_a_killed_process_is_started_again_at_once(platform):
    first = platform.pid("control")
    os.kill(first, signal.SIGKILL)
    begun = time.monotonic()
    wait_until(lambda: (p := platform.process("control")) and p.pid not in (None, first), 5)
    assert time.monotonic() - begun < 2
    assert platform.process("control").starts == 2


def test_apply_starts_replaces_and_drops(platform):
    a, b = spec(platform.home, "a"), spec(platform.home, "b")
    platform.connection.apply((a, b))
    first, dropped = platform.pid("a"), platform.pid("b")
    changed = spec(platform.home, "a", env={"X": "1"})
    platform.connection.apply((changed,))
    wait_until(lambda: platform.process("b") is None, 10)
    second = wait_until(lambda: (p := platform.process("a")) and p.pid not in (None, first) and p.pid, 10)
    assert lives(second)
    assert not lives(first)
    assert not lives(dropped)
    platform.connection.apply((changed,))
    assert platform.pid("a") == second  # what is as it should be is left alone


def test_a_process_that_ends_for_good_reports_its_status_and_fault(platform):
    fault = platform.home.state / "x.fault.json"
    said = json.dumps({"code": "busy", "message": "no"})
    code = f"open({str(fault)!r}, 'w').write({said!r}); exit(7)"
    platform.connection.apply((spec(platform.home, "x", code, restart="never", fault_file=str(fault)),))
    ended = wait_until(lambda: (p := platform.process("x")) and p.phase == "ended" and p, 10)
    assert (ended.exit_code, ended.fault, ended.starts) == (7, {"code": "busy", "message": "no"}, 1)
    platform.connection.apply(())
    wait_until(lambda: platform.process("x") is None, 10)


def test_what_cannot_be_started_says_so(platform):
    missing = spec(platform.home, "x", restart="never")
    missing = type(missing)(id="x", argv=("/nonexistent/program",), log=missing.log, restart="never")
    platform.connection.apply((missing,))
    ended = wait_until(lambda: (p := platform.process("x")) and p.phase == "ended" and p, 10)
    assert ended.exit_code == 127
    assert ended.fault["code"] == "cannot_start"


def test_a_new_launcher_adopts_what_a_killed_one_left(platform):
    platform.connection.apply((spec(platform.home, "replica"), spec(platform.home, "gone"),
                               spec(platform.home, "run", restart="never")))  # fmt: skip
    before = {name: platform.pid(name) for name in ("control", "gateway", "replica", "gone", "run")}
    platform.kill_launcher()
    for name in ("gone", "run"):
        os.kill(before[name], signal.SIGKILL)
    wait_until(lambda: not lives(before["gone"]) and not lives(before["run"]), 5)
    begun = time.monotonic()
    platform.launch()
    assert {n: platform.pid(n) for n in ("control", "gateway", "replica")} == {
        n: before[n] for n in ("control", "gateway", "replica")
    }
    assert platform.pid("gone") != before["gone"]
    assert platform.process("run").phase == "ended"  # one that is not to come back does not
    assert time.monotonic() - begun < 5
    os.kill(before["replica"], signal.SIGKILL)  # an adopted process is watched as a child is
    wait_until(lambda: (p := platform.process("replica")) and p.pid not in (None, before["replica"]), 5)


def test_a_recycled_pid_is_not_taken_for_the_process(platform):
    platform.kill_launcher()
    records = table.load(platform.home.launcher_table)
    other = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        for record in records:
            os.kill(record.identity.pid, signal.SIGKILL)
        text = platform.home.launcher_table.read_bytes()
        for record in records:
            text = text.replace(b'"pid":%d' % record.identity.pid, b'"pid":%d' % other.pid)
        platform.home.launcher_table.write_bytes(text)
        platform.launch()
        assert platform.pid("control") != other.pid
        platform.connection.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_strays_that_stand_in_no_table_are_ended(platform):
    stray = platform.pid("control")
    platform.kill_launcher()
    platform.home.launcher_table.unlink()
    platform.launch()
    wait_until(lambda: not lives(stray), 5)
    assert platform.pid("control") != stray


def test_an_unreadable_table_is_put_aside(platform):
    stray = platform.pid("control")
    platform.kill_launcher()
    platform.home.launcher_table.write_bytes(b"\0garbage")
    platform.launch()
    assert platform.pid("control") != stray
    assert platform.home.launcher_table.with_suffix(".unreadable").exists()


def test_stop_ends_the_gateway_first_control_last_and_leaves_nothing(tmp_path):
    with Platform(tmp_path / "home") as platform:
        log = tmp_path / "order"
        code = (
            "import signal, sys, time\n"
            "def end(*_):\n    open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, end)\n"
            "open(sys.argv[1] + sys.argv[2], 'w').close()\ntime.sleep(600)"
        )
        named = [spec(platform.home, n, code) for n in ("control", "gateway", "work")]
        named = [type(s)(id=s.id, argv=(*s.argv, str(log), s.id), log=s.log) for s in named]
        platform.kill_launcher()
        platform.own = named[:2]
        platform.launch()
        platform.connection.apply((named[2],))
        wait_until(lambda: all((tmp_path / f"order{s.id}").exists() for s in named), 10)
        assert platform.connection.stop().processes == ()
        assert platform.launcher.wait(10) == 0
        assert log.read_text().split() == ["gateway", "work", "control"]
        assert not platform.home.launcher_socket.exists()
        assert not platform.home.launcher_table.exists()


def test_a_process_that_ignores_sigterm_is_killed_with_its_group(platform, tmp_path):
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        f"open({str(child)!r} + '.tmp', 'w').write(str(p.pid))\n"
        f"import os; os.rename({str(child)!r} + '.tmp', {str(child)!r})\ntime.sleep(600)"
    )
    platform.connection.apply((spec(platform.home, "stubborn", code, stop_grace=0.2),))
    wait_until(child.exists, 10)
    pid = platform.pid("stubborn")
    platform.connection.apply(())
    wait_until(lambda: not lives(pid) and not lives(int(child.read_text())), 10)


def test_children_of_a_killed_process_do_not_outlive_it(platform, tmp_path):
    child = tmp_path / "child"
    code = (
        "import os, subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        f"open({str(child) + '.tmp'!r}, 'w').write(str(p.pid))\n"
        f"os.rename({str(child) + '.tmp'!r}, {str(child)!r})\ntime.sleep(600)"
    )
    platform.connection.apply((spec(platform.home, "parent", code, restart="never"),))
    wait_until(child.exists, 10)
    os.kill(platform.pid("parent"), signal.SIGKILL)
    wait_until(lambda: not lives(int(child.read_text())), 5)


def test_sigterm_stops_everything(platform):
    pids = [platform.pid("control"), platform.pid("gateway")]
    platform.launcher.terminate()
    assert platform.launcher.wait(15) == 0
    assert not any(lives(p) for p in pids)


def test_one_launcher_a_home(platform):
    with pytest.raises(Conflict):
        asyncio.run(Launcher(platform.home, ()).run())
    assert platform.connection.table().launcher_pid == platform.launcher.pid
    argv = ["--home", str(platform.home.root)]
    assert module.main([*argv, "--adopt"]) == 0
    assert module.main(argv) == 1


def test_leftovers_of_a_dead_platform_are_ended(platform):
    pids = [platform.pid("control"), platform.pid("gateway")]
    platform.kill_launcher()
    assert all(lives(p) for p in pids)
    asyncio.run(end_leftovers(platform.home))
    assert not any(lives(p) for p in pids)


@pytest.mark.parametrize(
    "line", [b"{}\n", b"nonsense\n", b"[1]\n", b'{"type":"apply","processes":3}\n', b"\xff\xfe\n"]
)
def test_a_line_that_is_no_command_is_refused(platform, line):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(str(platform.home.launcher_socket))
        s.sendall(line)
        answer = json.loads(s.makefile("rb").readline())
    assert answer["type"] == "refusal"
    assert platform.table().processes


def test_apply_refuses_the_own_names_and_doubles(platform):
    for names in (("control",), ("a", "a")):
        with pytest.raises(InvalidInput):
            platform.connection.apply(tuple(spec(platform.home, n) for n in names))
    assert {p.id for p in platform.table().processes} == {"control", "gateway"}


def test_watch_tells_of_each_change_until_the_end(platform):
    async def watch():
        seen, stopped = [], None
        connection = AsyncConnection(platform.home.launcher_socket)
        async for now in connection.watch():
            seen.append({p.id: p.phase for p in now.processes})
            if len(seen) == 1:
                await connection.apply((spec(platform.home, "brief", "exit(0)", restart="never"),))
            if seen[-1].get("brief") == "ended" and stopped is None:
                stopped = asyncio.create_task(connection.stop())
        await stopped
        return seen

    seen = asyncio.run(asyncio.wait_for(watch(), 20))
    assert seen[0] == {"control": "running", "gateway": "running"}
    assert seen[-1]["brief"] == "ended"
    assert seen[-1]["control"] == "running"  # ends that were asked for are not told as failures


def test_no_launcher_is_unavailable(tmp_path):
    home = Home(tmp_path)
    home.create()
    with pytest.raises(Unavailable):
        Connection(home.launcher_socket).table()
    with pytest.raises(Unavailable):
        asyncio.run(AsyncConnection(home.launcher_socket).stop())
