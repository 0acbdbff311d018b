"""Hostile code in a real sandbox: what it tries is refused, and what it is given works."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from boxes import Cell, needs_bubblewrap
from launching import lives
from modelyard.errors import InvalidInput, Unavailable
from modelyard.home import Home
from modelyard.trust import sandbox
from modelyard.trust.sandbox import Limits, Sandbox
from waiting import wait_until

pytestmark = [needs_bubblewrap, pytest.mark.slow]  # real sandboxes, one after the other


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    (tmp_path / "cell").mkdir()
    return Cell(folder=tmp_path / "cell")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A platform's home with keys in it, and another run's folder."""
    home = Home(tmp_path / "home")
    home.create()
    home.secret.write_text("5a" * 32)
    home.credentials.write_text('{"api_key": "yard-SECRET"}')
    home.database.write_text("SECRET rows")
    (home.runs / "run-1").mkdir()
    (home.runs / "run-1/spec.json").write_text('{"token": "SECRET"}')
    return home


def refused(inside, count):
    """Everything that was tried was refused, and all of it was tried."""
    assert inside.lines.count("done") == 1, inside.output
    said = [line for line in inside.lines if line.startswith(("refused", "GOT"))]
    assert len(said) == count, inside.output
    assert all(line.startswith("refused") for line in said), inside.output


def test_what_it_is_given_works(cell, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.csv").write_text("a,b\n1,2\n")
    inside = cell.run(
        f"""
        import os, numpy, modelyard
        print(open({str(tmp_path / "data/x.csv")!r}).read().split())
        open("out.txt", "w").write(os.environ["GIVEN"])
        open("/tmp/scratch", "w").write("x")
        print(os.getcwd(), os.getuid(), os.environ["HOME"])
        """,
        read=(tmp_path / "data",),
        env={"GIVEN": "yes"},
    )
    assert inside.ended.code == 0, inside.output
    assert inside.lines == ["['a,b', '1,2']", f"{cell.folder} 65534 /tmp"]
    assert (cell.folder / "out.txt").read_text() == "yes"
    assert not Path("/tmp/scratch").exists()


def test_the_exit_status_and_signals_are_told(cell):
    assert cell.run("raise SystemExit(7)").ended.code == 7
    assert cell.run("import os; os.kill(os.getpid(), 11)").ended.code == 128 + signal.SIGSEGV


def test_no_file_of_the_platform_is_seen(cell, home):
    inside = cell.run(
        f"""
        import os
        home = {str(home.root)!r}
        for name in ("secret", "client.json", "modelyard.db", "runs/run-1/spec.json", "config.json", ""):
            tried(open, os.path.join(home, name))
        tried(os.listdir, home)
        tried(os.listdir, os.path.join(home, "runs"))
        tried(os.listdir, {str(Path.cwd() / "tests")!r})
        tried(open, "/etc/shadow")
        tried(os.listdir, "/etc/ssl/private")
        tried(os.listdir, "/sys/fs/cgroup")
        tried(os.listdir, "/var/lib")
        print("done")
        """
    )
    refused(inside, 13)


def test_a_home_within_what_is_seen_is_hidden(cell, home, tmp_path):
    """As where the platform's Python lies above its home."""
    (tmp_path / "beside").write_text("seen")
    inside = cell.run(
        f"""
        import os
        print(open({str(tmp_path / "beside")!r}).read())
        print(os.listdir({str(home.root)!r}))
        tried(open, {str(home.secret)!r})
        tried(open, {str(home.root / "new")!r}, "w")
        print("done")
        """,
        read=(tmp_path / "beside", home.logs),
        hide=(home.root,),
    )
    assert inside.lines[:2] == ["seen", "['logs']"]
    refused(inside, 2)


def test_nothing_of_the_environment_is_seen(cell, monkeypatch):
    """Neither its own, nor that of the first process of the sandbox, nor command lines of others."""
    monkeypatch.setenv("YARD_API_KEY", "yard-SECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    inside = cell.run(
        """
        import os
        assert "SECRET" not in str(os.environ), os.environ
        assert not [n for n in os.environ if n.startswith("YARD")], os.environ
        pids = [p for p in os.listdir("/proc") if p.isdecimal()]
        for pid in pids:
            for name in ("environ", "cmdline"):
                data = open(f"/proc/{pid}/{name}", "rb").read()
                assert b"yard-SEC" b"RET" not in data and b"GIVEN_" b"KEY" not in data.replace(b"GIVEN_KEY=", b"")
        print(len(pids), open("/proc/1/environ").read() == "")
        """,
        env={"GIVEN_KEY": "x"},
    )
    assert inside.output == "2 True\n"


def test_what_it_is_given_stands_in_no_command_line_outside(cell):
    box = cell.box(env={"TOKEN": "SECRET-OF-A-RUN"})
    child = sandbox.start(["/bin/sleep", "60"], box, stdout=None, stderr=None)
    try:
        wait_until(lambda: b"sleep" in Path(f"/proc/{child.pid}/cmdline").read_bytes())
        for pid in sandbox_pids(child):
            assert b"SECRET-OF-A-RUN" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    finally:
        sandbox.Watch(child, box).end()
        child.wait()


def test_there_is_no_network(cell):
    with socket.create_server(("127.0.0.1", 0)) as control, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind("\0modelyard-test-abstract-" + str(os.getpid()))
        hidden.listen()
        inside = cell.run(
            f"""
            import socket
            tried(socket.create_connection, ("127.0.0.1", {control.getsockname()[1]}), 2)
            tried(socket.create_connection, ("localhost", {control.getsockname()[1]}), 2)
            tried(socket.create_connection, ("192.0.2.1", 80), 2)
            s = socket.socket(socket.AF_UNIX)
            tried(s.connect, "\\0modelyard-test-abstract-{os.getpid()}")
            tried(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW)
            tried(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
            tried(socket.socket, socket.AF_VSOCK)
            tried(socket.socket, socket.AF_ALG)
            print("done")
            """
        )
        refused(inside, 8)


def test_the_network_where_it_is_allowed(cell):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        inside = cell.run(f"import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('there')",
                          network=True)  # fmt: skip
    assert inside.output == "there\n"


def test_a_socket_of_the_platform_is_not_reached(cell, home):
    """A unix socket is a file: what is not seen cannot be connected to."""
    with socket.socket(socket.AF_UNIX) as launcher:
        launcher.bind(str(home.launcher_socket))
        launcher.listen()
        inside = cell.run(
            f"""
            import os, socket
            tried(socket.socket(socket.AF_UNIX).connect, {str(home.launcher_socket)!r})
            os.symlink({str(home.launcher_socket)!r}, "link")
            tried(socket.socket(socket.AF_UNIX).connect, "link")
            print("done")
            """
        )
    refused(inside, 2)


def test_other_processes_are_neither_seen_nor_hit(cell):
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        inside = cell.run(
            f"""
            import os, signal
            tried(os.kill, {victim.pid}, signal.SIGKILL)
            tried(os.kill, {os.getpid()}, 0)
            tried(os.listdir, "/proc/{victim.pid}")
            tried(os.kill, -1, 0)  # there is nobody else
            print("done")
            """
        )
        refused(inside, 4)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_nothing_is_written_outside(cell, tmp_path):
    (tmp_path / "read").mkdir()
    (tmp_path / "read/file").write_text("kept")
    inside = cell.run(
        f"""
        import os
        for path in ("/x", "/etc/x", "/etc/passwd", "/usr/x", "/dev/x", "/proc/sys/kernel/core_pattern",
                     "/proc/sysrq-trigger", "/proc/self/oom_score_adj", "{tmp_path}/read/x", "{tmp_path}/read/file",
                     "{sys.prefix}/x", "{os.__file__}"):
            tried(open, path, "a")
        tried(os.unlink, "{tmp_path}/read/file")
        tried(os.rename, "{tmp_path}/cell", "{tmp_path}/other")
        tried(os.chmod, "{tmp_path}/read", 0o777)
        open("{tmp_path}/x", "w").write("into a folder that only it sees")
        print("done")
        """,
        read=(tmp_path / "read",),
    )
    refused(inside, 15)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cell", "cell.log", "read"]
    assert (tmp_path / "read/file").read_text() == "kept"


def test_links_lead_nowhere(cell, home):
    inside = cell.run(
        f"""
        import os
        os.symlink({str(home.secret)!r}, "secret")
        tried(open, "secret")
        os.symlink({str(home.root)!r}, "home")
        tried(os.listdir, "home")
        tried(os.link, {str(home.secret)!r}, "hard")
        tried(os.link, "/etc/passwd", "hard")
        tried(open, "../home/secret")
        tried(open, "/proc/1/root" + {str(home.secret)!r})
        tried(open, "/proc/self/cwd/../home/secret")
        print("done")
        """
    )
    refused(inside, 7)


def test_privileges_cannot_be_had(cell):
    inside = cell.run(
        """
        import ctypes, os, resource, subprocess
        libc = ctypes.CDLL(None, use_errno=True)
        def call(name, *arguments):
            if getattr(libc, name)(*arguments) < 0:
                raise OSError(ctypes.get_errno(), name)
        def raw(number, *arguments):
            if libc.syscall(number, *arguments) < 0:
                raise OSError(ctypes.get_errno(), "syscall")
        tried(os.setuid, 0)
        tried(os.setgroups, [0])
        tried(call, "ptrace", 0, 0, 0, 0)
        tried(call, "mount", b"none", b"/tmp", b"tmpfs", 0, None)
        tried(call, "umount2", b"/tmp", 2)
        tried(call, "unshare", 0x10000000)
        tried(call, "unshare", 0x00020000)
        tried(call, "setns", 0, 0)
        tried(call, "chroot", b"/tmp")
        tried(call, "pivot_root" if hasattr(libc, "pivot_root") else "chroot", b"/tmp", b"/tmp")
        tried(call, "personality", 0x0040000)
        tried(call, "process_vm_readv", 1, None, 0, None, 0, 0)
        tried(raw, 425, 8, 0)  # io_uring_setup
        tried(raw, 435, 0, 0)  # clone3
        tried(raw, 437, -100, b"/tmp", 0, 0)  # openat2
        tried(raw, 442, -100, b"/tmp", 0, 0, 0)  # mount_setattr
        tried(os.memfd_create, "x")
        tried(os.chmod, ".", 0o4755)
        tried(os.open, "setuid", os.O_CREAT | os.O_WRONLY, 0o4755)
        tried(os.open, "setuid", os.O_CREAT | os.O_WRONLY, 0o2755)
        tried(os.mknod, "device", 0o60600, os.makedev(254, 0))
        tried(resource.setrlimit, resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
        tried(os.nice, -5)
        tried(os.sethostname, "x") if hasattr(os, "sethostname") else tried(call, "sethostname", b"x", 1)
        tried(subprocess.run, ["/usr/bin/unshare", "-r", "true"], check=True)
        print("done")
        """
    )
    refused(inside, 25)


def test_a_terminal_is_not_typed_into(cell):
    inside = cell.run(
        """
        import fcntl, os
        master, slave = os.openpty()
        tried(fcntl.ioctl, slave, 0x5412, b"x")
        tried(fcntl.ioctl, slave, 0x541C, b"x")
        print("done")
        """
    )
    refused(inside, 2)


def test_setuid_programs_give_nothing(cell):
    inside = cell.run(
        """
        import os, subprocess
        status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
        print(status["NoNewPrivs"].strip(), status["CapEff"].strip(), status["CapBnd"].strip())
        mounts = [line.split() for line in open("/proc/self/mounts")]
        print(all("nosuid" in fields[3].split(",") for fields in mounts if fields[1] not in ("/proc",)))
        for program in ("/usr/bin/su", "/bin/su"):
            tried(subprocess.run, [program, "-c", "id"], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        print("done")
        """
    )
    assert inside.lines[:2] == ["1 0000000000000000 0000000000000000", "True"]
    refused(inside, 2)


def test_daemons_end_with_the_sandbox(cell):
    """One that left its session, its parent and its output still lives in the sandbox's own world."""
    inside = cell.run(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", "54321.5"])
            os._exit(0)
        time.sleep(0.3)
        """
    )
    assert inside.ended.code == 0
    assert not running("54321.5")  # at once: it could still write


def test_it_ends_with_who_started_it(tmp_path):
    code = f"""
import sys, pathlib
from modelyard.trust import sandbox
box = sandbox.Sandbox(cwd=pathlib.Path({str(tmp_path)!r}), write=(pathlib.Path({str(tmp_path)!r}),))
child = sandbox.start(["/bin/sleep", "54322.5"], box, stdout=None, stderr=None)
print(child.pid, flush=True)
child.wait()
"""
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    with starter.stdout:
        monitor = int(starter.stdout.readline())
    wait_until(lambda: running("54322.5"), 10)
    starter.kill()
    starter.wait()
    wait_until(lambda: not lives(monitor) and not running("54322.5"), 5)


def test_a_descriptor_is_passed_on(cell):
    reading, writing = os.pipe()
    with open(reading) as lines:
        box = cell.box()
        code = f"import os; os.write({writing}, b'through'); print(sorted(map(int, os.listdir('/proc/self/fd'))))"
        child = sandbox.start([sys.executable, "-c", code], box, stdout=subprocess.PIPE, stderr=None,
                              pass_fds=(writing,))  # fmt: skip
        os.close(writing)
        said, _ = child.communicate(timeout=20)
        assert lines.read() == "through"
    descriptors = json.loads(said)
    assert [d for d in descriptors if d > 2 and d != writing][1:] == []  # but for the one that lists them


def test_frameworks_work_inside(cell):
    """ONNX Runtime, scikit-learn with threads and processes, pictures."""
    inside = cell.run(
        """
        import numpy as np, onnxruntime
        from sklearn.ensemble import RandomForestClassifier
        from concurrent.futures import ProcessPoolExecutor
        x = np.arange(40.0).reshape(20, 2)
        print(RandomForestClassifier(n_jobs=2, random_state=0).fit(x, x[:, 0] > 20).predict([[0, 1], [38, 39]]))
        with ProcessPoolExecutor(2) as pool:
            print(list(pool.map(abs, [-1, 2])))
        """,
        limits=Limits(memory_bytes=2 << 30),
    )
    assert inside.lines == ["[False  True]", "[1, 2]"]


def test_processors_and_threads(cell):
    inside = cell.run("import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])",
                      limits=Limits(cpus=0.5))  # fmt: skip
    assert inside.output == "1 1\n"


def test_a_path_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="whole paths"):
        sandbox.command(["true"], Sandbox(cwd=Path("relative")))
    with pytest.raises(InvalidInput, match="whole paths"):
        sandbox.command(["true"], Sandbox(cwd=tmp_path, read=(tmp_path / ".." / "x",)))


@pytest.mark.parametrize("env", [{"X": "1\0--bind\0/\0/"}, {"X\0Y": "1"}, {"X=Y": "1"}, {"": "1"}])
def test_an_environment_does_not_speak_to_bubblewrap(tmp_path, env):
    with pytest.raises(InvalidInput, match="cannot be set"):
        sandbox.command(["true"], Sandbox(cwd=tmp_path, env=env))


def test_variables_of_the_loader_mean_nothing_outside(cell):
    """A library that is preloaded by name is loaded by the command, not by what makes the sandbox."""
    inside = cell.command(["/bin/sh", "-c", "echo ran"], env={"LD_PRELOAD": str(cell.folder / "evil.so")})
    assert inside.lines.count("ran") == 1
    assert inside.output.count("evil.so") == 1


def test_what_is_to_be_seen_must_be_there(cell, tmp_path):
    inside = cell.run("print('ran')", read=(tmp_path / "absent",))
    assert inside.ended.code != 0
    assert "ran" not in inside.lines


def test_without_a_sandbox_nothing_untrusted_runs(monkeypatch):
    monkeypatch.setattr(sandbox, "lacking", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    assert sandbox.kind() == "rlimits"
    with pytest.raises(
        Unavailable, match=r"bubblewrap is not installed; .*apt-get install bubblewrap"
    ) as caught:
        sandbox.demand()
    assert "--allow-unsandboxed" in caught.value.message
    assert re.search(r"/[a-z]+/", caught.value.message) is None
    sandbox.demand(allow_unsandboxed=True)


def test_without_a_sandbox_the_limits_are_kept(cell, monkeypatch):
    monkeypatch.setattr(sandbox, "lacking", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    inside = cell.run(
        """
        import os
        from resource import RLIMIT_FSIZE, RLIMIT_NOFILE, getrlimit
        print(os.getcwd(), getrlimit(RLIMIT_NOFILE)[0], getrlimit(RLIMIT_FSIZE)[0])
        print(sorted(os.environ))
        """,
        limits=Limits(open_files=99, file_bytes=1 << 20),
    )
    assert inside.lines[0] == f"{cell.folder} 99 {1 << 20}"
    assert "YARD_BOX" not in inside.output
    late = cell.run("while True: pass", limits=Limits(seconds=0.3))
    assert late.ended.passed is not None
    assert late.ended.passed.limit == "seconds"


def test_where_bubblewrap_is_not_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox.shutil, "which", lambda *a, **k: None)
    sandbox.lacking.cache_clear()
    sandbox._bubblewrap.cache_clear()
    try:
        assert sandbox.lacking() == "bubblewrap is not installed"
        fake = tmp_path / "bwrap"
        fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
        fake.chmod(0o755)
        monkeypatch.setattr(sandbox.shutil, "which", lambda *a, **k: str(fake))
        sandbox.lacking.cache_clear()
        sandbox._bubblewrap.cache_clear()
        assert "No permissions to create a new namespace" in (sandbox.lacking() or "")
    finally:
        sandbox.lacking.cache_clear()
        sandbox._bubblewrap.cache_clear()


def sandbox_pids(child):
    from modelyard.trust.processes import tree

    return tree(child.pid)


def running(word):
    """Whether a process has `word` in its command line as an argument of its own."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                    found.append(folder.name)
            except OSError:
                continue
    return found


@pytest.mark.skipif(
    os.getuid() == 0 and not os.access("/sys/fs/cgroup/pids/cgroup.procs", os.W_OK),
    reason="root's processes are counted in control groups alone",
)
def test_the_kernel_counts_too(cell):
    """Nobody looks: forking fails by itself."""
    code = (
        "import os, time\nn = 0\n"
        "try:\n  while n < 500:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\n"
        "except OSError as error: print('refused', 100 < n < 500)\n"
    )
    box = cell.box(limits=Limits(processes=10))
    child = sandbox.start([sys.executable, "-c", code], box, stdout=subprocess.PIPE, stderr=None)
    said, _ = child.communicate(timeout=60)
    assert said == b"refused True\n"
