"""A user's script as a run, as control starts it: a real process, a real sandbox, real data."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from event_server import TOKEN, EventServer
from modelyard import packages
from modelyard.datasets import IngestOptions, ingest
from modelyard.runs.reporter import RunReporter
from modelyard.trust import sandbox
from modelyard.types.run import RunOutcome, RunSpec
from waiting import wait_until
from wheels import only_from, write_wheel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sandbox.kind() != "bubblewrap", reason="needs bubblewrap"),
]


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data set version's folder and digest."""
    from modelyard.datasets import open_dataset

    folder = tmp_path_factory.mktemp("wine") / "dataset"
    ingest([], IngestOptions(builtin="wine"), folder, RunReporter())
    return folder, open_dataset(folder).digest


class Scripted:
    """A run's folder with a script in it."""

    def __init__(self, root: Path, code: str, wine: tuple[Path, str] | None = None, **params: Any) -> None:
        self.root = root / "run"
        sources = self.root / "inputs" / "sources"
        sources.mkdir(parents=True)
        (sources / "work.py").write_text(code)
        inputs = {}
        if wine is not None:
            shutil.copytree(wine[0], self.root / "inputs" / "data.wine")
            inputs, params = {"data.wine": wine[1]}, {"data": {"wine": "wine:1"}, **params}
        self.spec = RunSpec(
            id="run_01k9w3vgx4ymc1c8x3n6qk5f2a",
            attempt=1,
            kind="script",
            tenant="default",
            params={"script": "work.py", **params},
            inputs=inputs,
            environments=str(root / "environments"),
        )

    def start(self, server: EventServer | None = None) -> "subprocess.Popen[bytes]":
        spec = self.spec
        if server is not None:
            spec = msgspec.structs.replace(spec, control_url=server.url, token=TOKEN)
        (self.root / "spec.json").write_bytes(msgspec.json.encode(spec))
        (self.root / "attempt-1").mkdir(exist_ok=True)
        self.log = self.root / "attempt-1" / "log.txt"
        with self.log.open("ab") as log:
            argv = [sys.executable, "-m", "modelyard.runs.process", str(self.root), "1"]
            return subprocess.Popen(argv, stdout=log, stderr=log)

    def run(self) -> RunOutcome:
        child = self.start()
        child.wait(timeout=120)
        return self.outcome

    @property
    def outcome(self) -> RunOutcome:
        path = self.root / "attempt-1" / "outcome.json"
        assert path.exists(), self.log.read_text()
        return msgspec.json.decode(path.read_bytes(), type=RunOutcome)

    @property
    def outputs(self) -> Path:
        return self.root / "attempt-1" / "outputs"


def test_a_script_reads_its_data_and_leaves_a_model_and_files(tmp_path: Path, wine: tuple[Path, str]) -> None:
    code = """
import modelyard, sys
from sklearn.tree import DecisionTreeClassifier
x_train, y_train, x_test, y_test = modelyard.dataset("wine").arrays()
model = DecisionTreeClassifier(max_depth=modelyard.params()["depth"], random_state=0).fit(x_train, y_train)
modelyard.log_metrics({"accuracy": model.score(x_test, y_test)}, step=3)
modelyard.log_summary(depth=model.get_depth(), arguments=" ".join(sys.argv[1:]))
open("note.txt", "w").write("hello")
modelyard.log_artifact("note.txt", "notes/first.txt")
modelyard.log_model(model, name="tree", task="tabular-classification", example=x_test)
"""
    run = Scripted(tmp_path, code, wine, params={"depth": 2})
    outcome = run.run()
    assert outcome.state == "succeeded", run.log.read_text()
    assert (outcome.models, outcome.outputs) == ({"tree": "models/tree"}, {"artifacts": "artifacts"})
    assert (outcome.summary["depth"], outcome.summary["arguments"]) == (2, "--depth 2")
    assert (run.outputs / "artifacts/notes/first.txt").read_text() == "hello"
    manifest = packages.read(run.outputs / "models/tree")
    assert (manifest.lineage.run, manifest.lineage.dataset) == (run.spec.id, "wine:1")
    assert manifest.lineage.dataset_digest == wine[1]
    assert manifest.signature.inputs[0].name == "alcohol"


def test_metrics_reach_control_in_order_and_none_is_lost(tmp_path: Path) -> None:
    code = """
import modelyard
for k in range(3000):
    modelyard.log_metrics({"loss": 1 / (k + 1), "bad": float("nan")}, step=k)
modelyard.log_metric("loss", 9.0)
"""
    with closing(EventServer()) as server:
        child = Scripted(tmp_path, code).start(server)
        assert child.wait(timeout=120) == 0
        points = [(e.step, e.metrics["loss"]) for e in server.events if "loss" in e.metrics]
    assert points == [*((k, 1 / (k + 1)) for k in range(3000)), (3000, 9.0)]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('the loss is not a number')", "status 1: ValueError: the loss is not a number"),
        ("import sys; sys.exit(7)", "the script ended with status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11"),
        ("import modelyard; modelyard.dataset('iris')", "was not given the data set 'iris'; add: yard run"),
        ("print('x' * 10)\nimport nothing_of_this_name", "ModuleNotFoundError"),
        ("import modelyard; modelyard.log_artifact('/etc/passwd', '../../x')", "a name that leads elsewhere"),
        ("import modelyard; modelyard.log_metrics({'a': 'b'})", "metric 'a' is no number"),
        ("import modelyard; modelyard.log_model(object(), name='m')", "no model that can be packaged"),
        ("import modelyard; modelyard.log_model(object(), name='A/b')", "not a name for a model"),
    ],
)
def test_a_script_that_fails_says_how_and_publishes_nothing(tmp_path: Path, code: str, message: str) -> None:
    outcome = Scripted(tmp_path, code).run()
    assert (outcome.state, outcome.models) == ("failed", {})
    assert outcome.error is not None
    assert outcome.error["code"] == "script_failed"
    assert message in outcome.error["message"]
    assert "Traceback" not in outcome.error["message"]


def test_what_a_script_may_not_see(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("yard_key")
    code = f"""
import json, os, socket
seen = {{}}
for name, path in (("file", {str(secret)!r}), ("spec", {str(tmp_path / "run" / "spec.json")!r})):
    try:
        seen[name] = open(path).read()
    except OSError as error:
        seen[name] = type(error).__name__
try:
    socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", 22))), 1)
    seen["network"] = "open"
except OSError as error:
    seen["network"] = "closed"
seen["environment"] = sorted(k for k in os.environ if "KEY" in k or "TOKEN" in k or k == "YARD_HOME")
open("inputs-written", "w").close()
try:
    open({str(tmp_path / "run" / "inputs" / "x")!r}, "w")
    seen["inputs"] = "writable"
except OSError:
    seen["inputs"] = "read only"
import modelyard
modelyard.log_summary(seen=json.dumps(seen))
"""
    outcome = Scripted(tmp_path, code).run()
    assert outcome.state == "succeeded", outcome.error
    assert json.loads(outcome.summary["seen"]) == {
        "file": "FileNotFoundError",
        "spec": "FileNotFoundError",
        "network": "closed",
        "environment": [],
        "inputs": "read only",
    }


@pytest.mark.parametrize(
    ("code", "params", "message"),
    [
        ("while True: pass", {"seconds": 1.0}, "it ran longer than it may"),
        ("x = bytearray(400 << 20)\nx[::4096] = b'1' * len(x[::4096])\nimport time; time.sleep(60)",
         {"memory_bytes": 200 << 20}, "more memory|MemoryError"),
        ("f = open('big', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", {"disk_bytes": 8 << 20},
         "wrote more|File too large|signal 25"),
    ],
)  # fmt: skip
def test_a_limit_that_is_passed_ends_the_script_by_name(
    tmp_path: Path, code: str, params: dict[str, Any], message: str
) -> None:
    import re

    outcome = Scripted(tmp_path, code, **params).run()
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert re.search(message, outcome.error["message"]), outcome.error


def test_a_script_that_is_cancelled_is_asked_to_end_and_may_tidy_up(tmp_path: Path) -> None:
    code = """
import signal, sys, time, pathlib
def tidy(number, frame):
    pathlib.Path("tidied").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, tidy)
print("ready", flush=True)
time.sleep(60)
"""
    run = Scripted(tmp_path, code)
    child = run.start()
    wait_until(lambda: "ready" in run.log.read_text(), 30, "the script")
    child.send_signal(signal.SIGTERM)
    child.wait(timeout=30)
    assert run.outcome.state == "cancelled"
    assert (run.root / "attempt-1/work/tidied").exists()


def test_a_model_that_a_script_has_forged_is_refused(tmp_path: Path) -> None:
    """It writes a package folder by hand whose format is a pickle under another name."""
    code = """
import json, os, pathlib, pickle
context = json.load(open(os.environ["YARD_SCRIPT"]))
folder = pathlib.Path(context["outputs"]) / "models" / "forged"
folder.mkdir(parents=True)
(folder / "model.onnx").write_bytes(pickle.dumps({"a": 1}))
from modelyard import packages
from modelyard.types.package import Manifest
from modelyard.types.tensor import Signature
empty = Signature(inputs=(), outputs=())
packages.write(folder, Manifest(task="tensors", signature=empty, tensors=empty, formats={"onnx": "model.onnx"}))
"""
    outcome = Scripted(tmp_path, code).run()
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error["code"] == "format_not_allowed"


@pytest.mark.parametrize(
    "code",
    [
        "os.rmdir(outputs / 'models'); os.symlink({aim!r}, outputs / 'models')",
        "os.symlink({aim!r}, outputs / 'artifacts' / 'x')",
        "os.mkfifo(outputs / 'artifacts' / 'x')",
        "os.symlink({aim!r} + '/secret', outputs / 'models' / 'x')",
    ],
    ids=["models", "folder", "pipe", "file"],
)
def test_links_and_pipes_that_a_script_leaves_lead_nowhere(tmp_path: Path, code: str) -> None:
    aim = tmp_path / "packages"
    (aim / "victim").mkdir(parents=True)
    (aim / "victim" / "model.json").write_text("{}")
    begin = """
import json, os, pathlib
outputs = pathlib.Path(json.load(open(os.environ["YARD_SCRIPT"]))["outputs"])
"""
    outcome = Scripted(tmp_path, begin + code.format(aim=str(aim))).run()
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert "links, pipes and devices are not taken" in outcome.error["message"] or "no folder" in str(
        outcome.error
    )
    assert (aim / "victim" / "model.json").read_text() == "{}"


def test_what_a_script_removes_is_not_missed(tmp_path: Path) -> None:
    code = """
import json, os, shutil
outputs = json.load(open(os.environ["YARD_SCRIPT"]))["outputs"]
for name in os.listdir(outputs):
    shutil.rmtree(os.path.join(outputs, name))
"""
    outcome = Scripted(tmp_path, code).run()
    assert (outcome.state, outcome.models, outcome.outputs) == ("succeeded", {}, {})


def test_what_a_script_writes_into_its_pipe_harms_nothing(tmp_path: Path) -> None:
    code = """
import os
out = int(os.environ["YARD_EVENTS_FD"])
os.write(out, b"no json\\n{}\\n[1]\\n{\\"metrics\\": {\\"a\\": \\"b\\"}}\\n" + b"[" * 100000 + b"\\n")
os.write(out, b"{\\"summary\\": {\\"fine\\": 1}}\\n")
"""
    outcome = Scripted(tmp_path, code).run()
    assert outcome.state == "succeeded"
    assert outcome.summary["fine"] == 1


def test_two_scripts_with_two_versions_of_one_library_go_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path / "index", "yardsmall", version)
    only_from(tmp_path / "index", monkeypatch)
    code = """
import importlib.metadata, pathlib, sys, time, numpy, modelyard
print("version", importlib.metadata.version("yardsmall"), flush=True)
there = modelyard.checkpoints() / "go"
for _ in range(600):
    if there.exists():
        break
    time.sleep(0.05)
modelyard.log_summary(version=importlib.metadata.version("yardsmall"), numpy=numpy.__version__)
"""
    runs = [Scripted(tmp_path / v, code, requirements=f"yardsmall=={v}") for v in ("1.0", "2.0")]
    children = [run.start() for run in runs]
    for run, version in zip(runs, ("1.0", "2.0"), strict=True):
        wait_until(lambda run=run, version=version: f"version {version}" in run.log.read_text(), 90, version)
    for run in runs:  # both have started, neither has ended
        (run.root / "checkpoints" / "go").touch()
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    import numpy

    assert [run.outcome.summary["version"] for run in runs] == ["1.0", "2.0"]
    assert {run.outcome.summary["numpy"] for run in runs} == {numpy.__version__}


def test_a_model_that_is_no_onnx_says_which_environment_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelyard import environments

    write_wheel(tmp_path / "index", "yardsmall", "1.0")
    only_from(tmp_path / "index", monkeypatch)
    code = """
import modelyard, numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import Ridge
from sklearn.datasets import load_diabetes
x, y = load_diabetes(return_X_y=True)
first = make_pipeline(StandardScaler(), HistGradientBoostingRegressor(random_state=0)).fit(x, y)
modelyard.log_model(first, name="first", task="tabular-regression", example=x)
modelyard.log_model(Ridge().fit(x, y), name="second", task="tabular-regression", example=x)
"""
    run = Scripted(tmp_path, code, requirements="yardsmall==1.0")
    outcome = run.run()
    assert outcome.state == "succeeded", run.log.read_text()
    first, second = (packages.read(run.outputs / "models" / name) for name in ("first", "second"))
    assert (list(first.formats), first.requirements) == (["skops"], environments.digest("yardsmall==1.0"))
    assert (run.outputs / "models/first/requirements.txt").read_text() == "yardsmall==1.0"
    assert (list(second.formats), second.requirements) == (["onnx"], msgspec.UNSET)


def test_a_script_ends_with_the_process_that_watches_it(tmp_path: Path) -> None:
    code = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(1)"
    run = Scripted(tmp_path, code)
    child = run.start()
    wait_until(lambda: "ready" in run.log.read_text(), 60, "the script")
    assert processes_of(run)
    child.kill()
    child.wait(timeout=30)
    wait_until(lambda: not processes_of(run), 10, "the script's end")


def processes_of(run: Scripted) -> list[str]:
    """Command lines of this run's script, wherever they run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(run.root / "attempt-1" / "work" / "work.py") in line:
                    found.append(line)
    return found
