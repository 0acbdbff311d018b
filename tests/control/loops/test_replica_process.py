"""Which replicas are put into a sandbox, and what they see there."""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from boxed_packages import write_program_package
from boxes import needs_bubblewrap
from control_seed import write_config
from launching import Platform as Launched
from launching import lives
from modelyard import environments, packages
from modelyard.control.bootstrap import open_platform
from modelyard.control.loops.replica_process import Needs, Start, needs_of, spec_of
from modelyard.control.loops.replicas import _worked
from modelyard.errors import Corrupt, InvalidInput, Unavailable
from modelyard.serving.probe import probe
from modelyard.trust import sandbox
from modelyard.trust.processes import tree
from modelyard.types.route import Serving
from small_package import write_package
from waiting import wait_until
from wheels import only_from, write_wheel


def lay_out(platform, folder):
    """A package where the replica loop lays it."""
    digest = packages.digest(packages.read(folder))
    folder.rename(platform.home.packages / digest)
    return digest


def start_of(platform, digest, name="r"):
    return Start(id=f"replica/{name}/1/0", file=f"replica-{name}-1-0", name=name, number=1, digest=digest,
                 socket=platform.home.sockets / f"r-{name}")  # fmt: skip


@pytest.fixture
def plain(platform, tmp_path):
    write_package(tmp_path / "plain")
    return lay_out(platform, tmp_path / "plain")


@pytest.fixture
def program(platform, tmp_path):
    write_program_package(tmp_path / "program")
    return lay_out(platform, tmp_path / "program")


def test_onnx_runs_as_it_is(platform, plain):
    assert needs_of(platform, plain) == Needs(sandbox=False)
    spec = spec_of(platform, start_of(platform, plain), needs_of(platform, plain))
    assert spec.argv[:3] == (sys.executable, "-m", "modelyard.serving.replica")
    assert "--socket" in spec.argv


def test_settings_of_the_process_are_told_to_it(platform, plain):
    plainly, needs = start_of(platform, plain), needs_of(platform, plain)
    set_ = dataclasses.replace(plainly, serving=Serving(threads=2, slots=3, context=64, cache=5.0, sleep=9.0))
    argv = spec_of(platform, set_, needs).argv
    assert argv[argv.index("--slots") :][:6] == ("--slots", "3", "--context", "64", "--threads", "2")
    others = dataclasses.replace(plainly, serving=Serving(cache=5.0, sleep=9.0, pinned=True))
    assert spec_of(platform, others, needs) == spec_of(platform, plainly, needs)


def test_graphs_that_answer_step_by_step_are_data_too(platform, tmp_path):
    write_package(tmp_path / "p")
    manifest = msgspec.json.decode((tmp_path / "p/model.json").read_bytes())
    formats = {"onnx-decoder": "decoder/decoder.json", "transformers": "huggingface/config.json"}
    (tmp_path / "p/model.json").write_bytes(msgspec.json.encode(manifest | {"formats": formats}))
    (tmp_path / "p").rename(platform.home.packages / "steps")
    assert needs_of(platform, "steps") == Needs(sandbox=False, generates=True)


@needs_bubblewrap
def test_graphs_beside_a_generators_files_do_not_free_it_of_the_sandbox(platform, tmp_path):
    write_package(tmp_path / "p")
    manifest = msgspec.json.decode((tmp_path / "p/model.json").read_bytes())
    formats = {"onnx": "model.onnx", "gguf": "model.gguf"}
    (tmp_path / "p/model.json").write_bytes(msgspec.json.encode(manifest | {"formats": formats}))
    (tmp_path / "p").rename(platform.home.packages / "both")
    assert needs_of(platform, "both") == Needs(sandbox=True, generates=True)


@needs_bubblewrap
def test_an_engine_that_generates_chooses_its_threads(platform, tmp_path):
    write_package(tmp_path / "p")
    manifest = msgspec.json.decode((tmp_path / "p/model.json").read_bytes())
    changed = manifest | {"task": "text-generation", "formats": {"gguf": "model.gguf"}}
    (tmp_path / "p/model.json").write_bytes(msgspec.json.encode(changed))
    (tmp_path / "p").rename(platform.home.packages / "writer")
    needs = needs_of(platform, "writer")
    assert needs == Needs(sandbox=True, generates=True)
    spec = spec_of(platform, start_of(platform, "writer"), needs)
    assert "OMP_NUM_THREADS" not in spec.env
    assert not [word for word in spec.argv if "OMP_NUM_THREADS" in word]


@needs_bubblewrap
def test_what_can_carry_code_runs_in_a_sandbox(platform, program, tmp_path):
    assert needs_of(platform, program) == Needs(sandbox=True)
    spec = spec_of(platform, start_of(platform, program), needs_of(platform, program))
    assert "modelyard.trust.monitor" in spec.argv
    assert spec == spec_of(platform, start_of(platform, program), needs_of(platform, program))
    write_package(tmp_path / "asks")
    manifest = msgspec.json.decode((tmp_path / "asks/model.json").read_bytes())
    (tmp_path / "asks/model.json").write_bytes(msgspec.json.encode(manifest | {"requirements": "ab" * 32}))
    (tmp_path / "asks").rename(platform.home.packages / "asks")
    assert needs_of(platform, "asks") == Needs(sandbox=True, requirements="ab" * 32)


@needs_bubblewrap
def test_its_own_file_of_requirements_goes_before_a_digest(platform, tmp_path):
    """As that of a package that was made on another machine, or with another Python."""
    write_program_package(tmp_path / "p", "cd" * 32, "tabulate==0.9\n")
    digest = lay_out(platform, tmp_path / "p")
    needs = needs_of(platform, digest)
    assert needs.requirements == environments.digest("tabulate==0.9")
    argv = spec_of(platform, start_of(platform, digest), needs).argv
    assert argv[1:3] == ("-m", "modelyard.environments.enter")
    assert str(environments.python_of(platform.home.environments, needs.requirements)) in argv


def test_without_a_sandbox_it_is_refused(platform, program, monkeypatch, home):
    monkeypatch.setattr(sandbox, "lacking", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda: None)
    with pytest.raises(Unavailable, match="install bubblewrap"):
        needs_of(platform, program)
    platform.database.close()
    write_config(home, allow_unsandboxed=True)
    allowing = open_platform(home)
    try:
        assert needs_of(allowing, program) == Needs(sandbox=True)
    finally:
        allowing.database.close()


def test_a_manifest_that_cannot_be_read(platform):
    (platform.home.packages / "broken").mkdir()
    (platform.home.packages / "broken/model.json").write_text("{")
    with pytest.raises(Corrupt):
        needs_of(platform, "broken")


@pytest.mark.parametrize("named", ["/", "..", "../..", "/etc", "ab" * 31, "AB" * 32, "ab" * 32 + "/../.."])
def test_an_environment_that_would_be_another_folder(platform, tmp_path, named):
    """It becomes a path that the replica sees."""
    write_package(tmp_path / "p")
    manifest = msgspec.json.decode((tmp_path / "p/model.json").read_bytes())
    (tmp_path / "p/model.json").write_bytes(msgspec.json.encode(manifest | {"requirements": named}))
    (tmp_path / "p").rename(platform.home.packages / "p")
    with pytest.raises(Corrupt, match="names no environment"):
        needs_of(platform, "p")


@needs_bubblewrap
@pytest.mark.parametrize("text", ["\udcff\udcfe", "-r /etc/passwd", "x" * 100_000])
def test_a_file_of_requirements_that_is_none(platform, tmp_path, text):
    write_package(tmp_path / "p")
    (tmp_path / "p/requirements.txt").write_bytes(text.encode(errors="surrogateescape"))
    manifest = msgspec.json.decode((tmp_path / "p/model.json").read_bytes())
    manifest["files"]["requirements.txt"] = {"sha256": "0" * 64, "size": 1}
    (tmp_path / "p/model.json").write_bytes(msgspec.json.encode(manifest | {"requirements": "ab" * 32}))
    (tmp_path / "p").rename(platform.home.packages / "p")
    with pytest.raises(InvalidInput, match="requirements"):
        needs_of(platform, "p")


@needs_bubblewrap
@pytest.mark.slow
class TestUnderALauncher:
    @pytest.fixture
    def launched(self, platform):
        with Launched(platform.home.root) as launched:
            yield launched

    def serve(self, launched, platform, digest, name="r"):
        """The pid of the replica's first process when it answers."""
        start = start_of(platform, digest, name)
        spec = spec_of(platform, start, needs_of(platform, digest))
        launched.connection.apply((spec,))
        wait_until(lambda: self.answers(start), 60, f"the replica ({Path(spec.log).read_text()})")
        return start, launched.pid(start.id)

    def answers(self, start):
        try:
            return probe(f"unix:{start.socket}").hello.digest == start.digest
        except Unavailable:
            return False

    def test_it_serves_and_is_let_go_in_peace(self, launched, platform, program):
        start, pid = self.serve(launched, platform, program)
        pids = tree(pid)
        assert len(pids) >= 4  # who watches, bubblewrap, the first inside, and the replica
        launched.connection.apply(())
        wait_until(lambda: launched.process(start.id) is None, 10)
        assert not [p for p in pids if lives(p)]
        assert not start.socket.exists()
        log = Path(platform.home.logs / f"{start.file}.log").read_text()
        assert "Traceback" not in log

    def test_killed_it_is_started_again(self, launched, platform, program):
        start, pid = self.serve(launched, platform, program)
        inner = tree(pid)[-1]
        os.kill(inner, signal.SIGKILL)
        status = wait_until(lambda: (p := launched.process(start.id)) and p.starts == 2 and p, 20)
        assert status.exit_code in (None, -signal.SIGKILL)
        wait_until(lambda: self.answers(start), 60)
        assert launched.pid(start.id) != pid

    def test_a_new_launcher_adopts_it(self, launched, platform, program):
        start, pid = self.serve(launched, platform, program)
        pids = tree(pid)
        launched.kill_launcher()
        assert self.answers(start)
        launched.launch()
        assert launched.pid(start.id) == pid
        launched.connection.apply(())
        wait_until(lambda: launched.process(start.id) is None, 10)
        assert not [p for p in pids if lives(p)]

    def test_work_inside_counts_for_its_life(self, launched, platform, program):
        _, pid = self.serve(launched, platform, program)
        import psutil

        alone = psutil.Process(pid).cpu_times()
        assert _worked(pid) > alone.user + alone.system + 0.5  # PyTorch was loaded inside

    def test_why_it_cannot_serve_is_told(self, launched, platform, tmp_path):
        write_program_package(tmp_path / "p")
        digest = lay_out(platform, tmp_path / "p")
        (platform.home.packages / digest / "model.pt2").write_bytes(b"x" * 100)
        start = start_of(platform, digest)
        launched.connection.apply((spec_of(platform, start, needs_of(platform, digest)),))
        status = wait_until(lambda: (p := launched.process(start.id)) and p.fault and p, 60)
        assert status.fault["code"] == "corrupt"
        assert "model.pt2" in status.fault["message"]

    def test_its_environments_code_sees_nothing_of_the_platform(self, platform, tmp_path, monkeypatch):
        """A wheel's .pth file runs in the replica before anything of ours: as hostile as code can be."""
        home = platform.home
        tries = [
            f"open({str(p)!r}).read()" for p in (home.secret, home.credentials, home.database, home.config)
        ]
        tries += [f"os.listdir({str(p)!r})" for p in (home.runs, home.sockets, home.state, home.logs)]
        tries += [f"socket.create_connection(('127.0.0.1', {platform.config.control_port}), 1)"]
        tries += [f"socket.socket(socket.AF_UNIX).connect({str(home.launcher_socket)!r})"]
        tries += [f"os.kill({os.getpid()}, 0)", f"open('/proc/{os.getpid()}/environ').read()"]
        body = "import os, socket\nfor t in TRIES:\n    try: print('GOT', t, eval(t))\n"
        body += "    except OSError as e: print('refused', type(e).__name__, t, flush=True)\n"
        folders = [str(home.root), str(home.packages), str(home.environments)]
        body += f"print([os.listdir(f) for f in {folders!r}], [n for n in os.environ if 'YARD' in n], flush=True)\n"
        files = {"yardevil.pth": "import yardhostile\n", "yardhostile.py": f"TRIES = {tries!r}\n{body}"}
        write_wheel(tmp_path / "index", "yardevil", "1.0", files=files)
        only_from(tmp_path / "index", monkeypatch)
        write_program_package(tmp_path / "p", "ab" * 32, "yardevil==1.0\n")
        digest = lay_out(platform, tmp_path / "p")
        with Launched(platform.home.root) as launched:  # hears of the index now
            start, _ = self.serve(launched, platform, digest)
        said = Path(home.logs / f"{start.file}.log").read_text().splitlines()
        refused = [line for line in said if line.startswith("refused")]
        assert len(refused) == len(tries), said
        assert not [line for line in said if line.startswith("GOT")]
        environment = environments.digest("yardevil==1.0")
        seen = [["environments", "packages"], [digest], [environment]]  # the way to what it is given
        assert f"{seen} []" in [line.replace("['packages', 'environments']", str(seen[0])) for line in said]

    def test_an_environment_that_cannot_be_made_is_told(self, launched, platform, tmp_path):
        write_program_package(tmp_path / "p", "ab" * 32)
        digest = lay_out(platform, tmp_path / "p")
        start = start_of(platform, digest)
        launched.connection.apply((spec_of(platform, start, needs_of(platform, digest)),))
        status = wait_until(lambda: (p := launched.process(start.id)) and p.fault and p, 60)
        assert "requirements of this environment are not known" in status.fault["message"]
