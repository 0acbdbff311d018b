"""`yard up`, `status` and `down` with the real platform: starting, kill -9 of each process, stopping."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import httpx
import pytest

import modelyard
from launching import lives
from modelyard import errors
from modelyard.cluster.connection import Connection
from modelyard.cluster.identity import marked
from modelyard.cluster.launcher import Launcher
from modelyard.home import Home
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes


def _free_ports():
    """Two ports that nobody listens on now."""
    with socket.socket() as a, socket.socket() as b:
        for s in (a, b):
            s.bind(("127.0.0.1", 0))
        return a.getsockname()[1], b.getsockname()[1]


class Yard:
    """A platform of its own, driven by `yard` as a process. Leaving the block ends all that it started."""

    def __init__(self, root):
        self.home = Home(root / "home")
        self.port, self.control_port = _free_ports()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("YARD_")}
        self.environment |= {"YARD_HOME": str(self.home.root), "OMP_NUM_THREADS": "1"}
        self.ports = ("--port", str(self.port), "--control-port", str(self.control_port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run("down")
        assert not self.strays()

    def run(self, *arguments):
        """(status, standard output, standard error)."""
        done = subprocess.run(
            self.argv(*arguments), env=self.environment, capture_output=True, text=True, timeout=90
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments):
        status, out, err = self.run(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    def argv(self, *arguments):
        return [sys.executable, "-m", "modelyard.cli", *arguments]

    def strays(self):
        """Processes of this home that live."""
        return marked(Launcher(self.home, ()).marker)

    def pids(self):
        """Id -> pid of what runs, the launcher among them; empty where no launcher answers."""
        try:
            table = Connection(self.home.launcher_socket).table()
        except errors.Unavailable:
            return {}
        found = {p.id: p.pid for p in table.processes if p.phase == "running"}
        return found | {"launcher": table.launcher_pid}

    def answers(self):
        """Whether control and gateway answer."""
        urls = (
            f"http://127.0.0.1:{self.control_port}/api/v1/health",
            f"http://127.0.0.1:{self.port}/v2/health/live",
        )
        try:
            return all(httpx.get(u, timeout=2, trust_env=False).status_code == 200 for u in urls)
        except httpx.TransportError:
            return False

    def client(self):
        return modelyard.Client(home=self.home)


@pytest.fixture
def yard(tmp_path):
    with Yard(tmp_path) as y:
        yield y


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """A platform that runs, for tests that leave it so."""
    with Yard(tmp_path_factory.mktemp("up")) as y:
        y.said = y.json("up", *y.ports, "--detach")
        yield y


def test_the_first_start_shows_the_key_and_keeps_it_for_its_owner(up):
    kept = json.loads(up.home.credentials.read_text())
    assert up.said["api_key"] == kept["api_key"]
    assert kept["url"] == up.said["control_url"] == f"http://127.0.0.1:{up.control_port}"
    assert stat.S_IMODE(up.home.credentials.stat().st_mode) == 0o600
    assert stat.S_IMODE(up.home.root.stat().st_mode) == 0o700


def test_status_shows_what_runs(up):
    said = up.json("status")
    assert said["running"]
    assert {p["id"]: p["phase"] for p in said["processes"]} == {"control": "running", "gateway": "running"}
    assert said["control"]["gateway_url"] == said["gateway_url"] == f"http://127.0.0.1:{up.port}"
    status, out, _ = up.run("status")
    assert status == 0
    assert f"http://127.0.0.1:{up.port}" in out


def test_a_second_start_says_where_the_first_is(up):
    before = up.pids()
    status, out, err = up.run("up")
    assert (status, out) == (1, "")
    assert f"http://127.0.0.1:{up.port}" in err
    assert up.json("up", "--detach")["already_running"]
    assert up.pids() == before


def test_doctor_knows_its_own_ports(up):
    assert all(f["level"] != "blocks" for f in up.json("doctor")["findings"])


def test_another_home_on_the_same_port_is_told_who_holds_it(up, tmp_path):
    other = Yard(tmp_path)
    status, _, err = other.run("up", "--port", str(up.port), "--control-port", str(other.control_port))
    assert status == 1
    assert f"port {up.port} (--port) is taken by" in err
    assert f"(process {up.pids()['gateway']})" in err


@pytest.mark.parametrize("name", ["gateway", "control", "launcher"])
def test_a_killed_process_is_back_in_five_seconds_and_the_rest_goes_on(up, name):
    before = wait_until(lambda: len(p := up.pids()) >= 3 and up.answers() and p, 10)
    os.kill(before[name], signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not lives(before[name]), 5)
    after = wait_until(
        lambda: (p := up.pids()).get(name) not in (None, before[name]) and up.answers() and p, 10
    )
    assert time.monotonic() - killed < 5
    rest = {"gateway", "control", "launcher"} - {name}
    assert {n: after[n] for n in rest} == {n: before[n] for n in rest}


def test_keys_from_creation_to_revocation(up):
    made = up.json("keys", "create", "caller", "--expires-in", "1h")
    assert made["scopes"] == ["predict"]
    assert made["expires_at"] - made["created_at"] == pytest.approx(3600)
    with modelyard.Client(up.said["control_url"], made["key"]) as caller:
        with pytest.raises(errors.Forbidden):
            caller.keys.list()
        up.json("keys", "revoke", made["id"])
        listed = {k["id"]: k for k in up.json("keys", "list")}
        assert listed[made["id"]]["revoked_at"]
        assert made["key"] not in up.run("keys", "list", "--json")[1]
        with pytest.raises(errors.Unauthorized):
            caller.keys.list()


def test_errors_of_the_server_reach_the_command_line(up):
    status, _, err = up.run("train", "--task", "image-clasification", "--data", "x", "--name", "y")
    assert status == 1
    assert "image-classification" in err
    status, _, err = up.run("runs", "show", "run_none", "--json")
    assert json.loads(err)["error"]["code"] == "not_found"
    assert up.run("data", "show", "../keys")[0] == 1
    assert up.run("predict", "nothing", '{"a": 1}')[0] == 1


def test_a_run_with_an_empty_data_folder_is_refused(up, tmp_path):
    status, _, err = up.run("data", "add", "empty", str(tmp_path))
    assert status == 1
    assert "no file in the folder" in err


@pytest.mark.slow
def test_from_a_table_to_an_answer_in_shell_and_python(up, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "a,b,label\n" + "".join(f"{i % 7},{i},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(210))
    )
    made = up.json("data", "add", "table", str(path), "--label", "label", "--seed", "3")
    assert made["latest"]["rows"] == 210
    assert up.json("data", "show", "table:1")["profile"]["rows"] == 210
    run = up.json("train", "--task", "tabular-classification", "--data", "table", "--net", "decision_tree",
                  "--name", "tree", "--set", "training.seed=1")  # fmt: skip
    assert run["state"] == "succeeded"
    assert run["params"]["recipe"]["training"]["seed"] == 1
    assert run["id"] in [r["id"] for r in up.json("runs", "list")]
    assert up.json("runs", "logs", run["id"], "-f")["log"]
    assert up.json("models", "alias", "tree", "champion", "1")["aliases"] == {"champion": 1}
    report = up.json("evaluate", "tree@champion", "--split", "validation")
    assert report["summary"]["split"] == "validation"
    assert up.json("deploy", "caller", "tree@champion")["state"] == "ready"
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b\n6,6\n0,7\n")
    answers = up.json("predict", "caller", str(rows))
    assert [a[0]["label"] for a in answers] == ["yes", "no"]
    assert "no" in up.run("predict", "caller", '{"a": 0, "b": 7}')[1]
    with up.client() as client:
        assert client.predict("caller", [{"a": 6, "b": 6}, {"a": 0, "b": 7}]) == answers
        assert client.deployments.show("caller").ready == 1
        assert "tree" in repr(client.models.show("tree"))
        with pytest.raises(errors.InvalidInput):
            client.predict("caller", {"a": 6})
        assert client.deployments.scale("caller", 2).wait().ready == 2
    up.json("deployments", "delete", "caller")
    assert up.json("deployments", "list") == []


@pytest.mark.slow
def _heed_ctrl_c() -> None:
    """A test run that was started in the background ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_wait_that_is_interrupted_leaves_the_run_and_says_how_to_cancel_it(up):
    up.json("data", "add", "digits")
    recipe = ("--task", "image-classification", "--data", "digits", "--net", "cnn", "--name", "long")
    argv = up.argv("train", *recipe, "--set", "training.epochs=100000")
    pipe = subprocess.PIPE
    waiting = subprocess.Popen(
        argv, env=up.environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heed_ctrl_c
    )
    with up.client() as client:
        run = wait_until(lambda: next((r for r in client.runs.list() if r.state == "running"), None), 30)
        wait_until(lambda: client.runs.show(run.id).progress, 60)
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
        assert waiting.returncode == 130
        assert f"yard runs cancel {run.id}" in err
        assert client.runs.show(run.id).state == "running"
        up.json("runs", "cancel", run.id)
        with pytest.raises(errors.Cancelled):
            run.wait(timeout=30)


def test_ctrl_c_stops_everything_that_the_foreground_started(yard):
    began = time.monotonic()
    process = subprocess.Popen(
        yard.argv("up", *yard.ports),
        env=yard.environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )
    wait_until(yard.answers, 20)
    assert time.monotonic() - began < 15  # 5 on an idle machine
    pids = yard.pids()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(yard.home.credentials.read_text())["api_key"] in out
    assert "yard data add digits" in out
    assert not any(lives(p) for p in pids.values())
    assert not yard.home.launcher_socket.exists()


@pytest.mark.slow
def test_down_ends_what_is_left_of_a_platform_whose_launcher_and_control_were_killed(yard):
    yard.json("up", *yard.ports, "--detach")
    pids = yard.pids()
    os.kill(pids["launcher"], signal.SIGKILL)
    os.kill(pids["control"], signal.SIGKILL)
    assert lives(pids["gateway"])
    assert yard.json("down")["stopped"]
    wait_until(lambda: not any(lives(p) for p in pids.values()), 5)


@pytest.mark.slow
def test_a_start_after_such_an_end_takes_the_gateway_over(yard):
    yard.json("up", *yard.ports, "--detach")
    pids = yard.pids()
    os.kill(pids["launcher"], signal.SIGKILL)
    os.kill(pids["control"], signal.SIGKILL)
    wait_until(lambda: not lives(pids["control"]), 5)
    said = yard.json("up", "--detach")
    assert "api_key" not in said  # it is shown once
    assert yard.pids()["gateway"] == pids["gateway"]


@pytest.mark.slow
def test_a_control_that_cannot_start_says_why_and_nothing_is_left(yard):
    yard.home.create()
    yard.home.secret.write_text("spoilt")
    for detach in ([], ["--detach"]):
        status, out, err = yard.run("up", *yard.ports, *detach)
        assert (status, out) == (1, "")
        assert "secret" in err
        assert not yard.strays()
    yard.home.secret.unlink()
    yard.home.database.write_bytes(b"this is no database" * 100)
    for detach in ([], ["--detach"]):
        status, out, err = yard.run("up", *yard.ports, *detach)
        assert (status, out) == (1, "")
        assert "control" in err
        assert not yard.strays()
    assert not yard.home.config.exists()  # a start that failed is not what other commands go by
