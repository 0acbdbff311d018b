"""Real processes, real data, a real HTTP server for their events."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from event_server import TOKEN, event_server
from modelyard import packages
from modelyard.datasets import IngestOptions, ingest, open_dataset
from modelyard.runs.reporter import RunReporter
from modelyard.types.report import Report
from modelyard.types.run import RunOutcome
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes

LONG = {
    "task": "image-classification",
    "name": "digits-mlp",
    "data": "digits",
    "net": "mlp",
    "training": {"epochs": 40, "seed": 3},
}


class Run:
    """A run's folder, and the processes of its attempts."""

    def __init__(self, folder, run_id, kind, params, inputs=None):
        self.folder, self.id, self.kind, self.params = folder, run_id, kind, params
        (folder / "inputs").mkdir(parents=True)
        for name, source in (inputs or {}).items():
            (folder / "inputs" / name).symlink_to(source)
        self.inputs = {name: "" for name in inputs or {}}

    def start(self, attempt=1, server=None, script=None):
        spec = {
            "id": self.id,
            "attempt": attempt,
            "kind": self.kind,
            "tenant": "default",
            "params": self.params,
            "control_url": server.url if server else None,
            "token": TOKEN,
        }
        (self.folder / "spec.json").write_text(json.dumps(spec))
        self.attempt = self.folder / f"attempt-{attempt}"
        self.attempt.mkdir(exist_ok=True)
        command = (
            [sys.executable, "-m", "modelyard.runs.process"]
            if script is None
            else [sys.executable, "-c", script]
        )
        with (self.attempt / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [*command, str(self.folder), str(attempt)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def make(self, attempt=1, server=None, script=None):
        process = self.start(attempt, server, script)
        try:
            return process.wait(120)
        finally:
            process.kill()
            process.wait(10)

    @property
    def outcome(self):
        return msgspec.json.decode((self.attempt / "outcome.json").read_bytes(), type=RunOutcome)

    @property
    def log(self):
        return (self.attempt / "log.txt").read_text()


@pytest.fixture
def running():
    """Start attempts that are ended with the test, whatever happens."""
    processes = []

    def start(run, **options):
        processes.append(run.start(**options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait(10)


@pytest.fixture
def server():
    with event_server() as serving:
        yield serving


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "dataset"
    ingest([], IngestOptions(builtin="digits"), folder, RunReporter())
    return folder


def test_from_data_to_a_report_in_three_processes(tmp_path, server):
    prepare = Run(tmp_path / "p", "run_p", "prepare", {"name": "digits", "options": {"builtin": "digits"}})
    assert prepare.make(server=server) == 0, prepare.log
    dataset = prepare.attempt / "outputs" / prepare.outcome.outputs["dataset"]
    opened = open_dataset(dataset)
    assert prepare.outcome.summary == {
        "rows": 1797,
        "columns": 2,
        "split_rows": dict(opened.manifest.split_rows),
        "digest": opened.digest,
    }

    recipe = LONG | {"training": {"epochs": 12}, "evaluation": {"bootstrap": 200}}
    params = {"recipe": recipe, "dataset": "digits:1"}
    train = Run(tmp_path / "t", "run_t", "train", params, {"dataset": dataset})
    assert train.make(server=server) == 0, train.log
    package = train.attempt / "outputs" / train.outcome.outputs["package"]
    manifest, summary = packages.read(package), train.outcome.summary
    assert (manifest.lineage.run, manifest.lineage.dataset) == ("run_t", "digits:1")
    assert manifest.lineage.dataset_digest == opened.digest
    assert summary["digest"] == packages.digest(package)
    assert (summary["metric"], summary["net"], summary["epochs"], summary["split"]) == (
        "accuracy",
        "mlp",
        12,
        "test",
    )
    assert summary["low"] <= summary["value"] <= summary["high"]
    assert summary["value"] > 0.9
    trained = report_of(train)
    assert trained.interval.value == summary["value"]
    assert trained.interval.resamples == 200
    assert trained.fit is not None
    assert [step for step, _ in trained.history["train/loss"]] == list(range(1, 13))
    assert trained.recipe == manifest.lineage.recipe

    params = {"model": "digits-mlp:1", "dataset": "digits:1", "split": "validation"}
    evaluate = Run(tmp_path / "e", "run_e", "evaluate", params, {"dataset": dataset, "package": package})
    assert evaluate.make(server=server) == 0, evaluate.log
    found = report_of(evaluate)
    assert (found.split, found.rows) == ("validation", opened.manifest.split_rows["validation"])
    assert found.model_digest == summary["digest"]

    posts = {path for _, path, _ in server.posts}
    assert posts == {f"/internal/runs/run_{kind}/events" for kind in "pte"}
    assert server.steps == list(range(1, 13))
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO +step 12  train/loss", train.log)


def report_of(run):
    folder = run.attempt / "outputs" / run.outcome.outputs["report"]
    assert (folder / "report.html").stat().st_size > 10_000
    return msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_as_an_unbroken_one(tmp_path, server, running, digits):
    unbroken = Run(tmp_path / "unbroken", "run_1", "train", {"recipe": LONG}, {"dataset": digits})
    assert unbroken.make() == 0, unbroken.log

    broken = Run(tmp_path / "broken", "run_1", "train", {"recipe": LONG}, {"dataset": digits})
    process = running(broken, server=server)
    wait_until(lambda: server.steps and server.steps[-1] >= 5, 60, "the fifth epoch")
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (broken.attempt / "outcome.json").exists()
    before = list(server.steps)
    assert before[-1] < 40

    server.posts.clear()
    assert broken.make(attempt=2, server=server) == 0, broken.log
    assert server.steps[0] in range(before[-1], 41), "it began anew"
    assert server.steps == list(range(server.steps[0], 41))
    assert report_of(broken).history == report_of(unbroken).history
    assert broken.outcome.summary["digest"] == unbroken.outcome.summary["digest"]


def test_a_cancelled_training_ends_without_results(tmp_path, server, running, digits):
    run = Run(
        tmp_path / "run",
        "run_1",
        "train",
        {"recipe": LONG | {"training": {"epochs": 100_000}}},
        {"dataset": digits},
    )
    server.cancel_at_step = 2
    process = running(run, server=server)
    assert process.wait(60) == 1
    assert run.outcome.state == "cancelled"
    assert run.outcome.outputs == {}
    assert run.outcome.error == {"code": "cancelled", "message": "the run was cancelled"}
    assert "Traceback" not in run.log


def test_a_training_that_lost_its_lease_ends_without_results(tmp_path, server, running, digits):
    run = Run(
        tmp_path / "run",
        "run_1",
        "train",
        {"recipe": LONG | {"training": {"epochs": 100_000}}},
        {"dataset": digits},
    )
    server.lose_at_step = 2
    process = running(run, server=server)
    assert process.wait(60) == 1
    assert run.outcome.state == "cancelled"
    assert "lease is lost" in run.outcome.error["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_and_the_next_attempt_goes_on(tmp_path, server, running, digits, number):
    recipe = LONG | {"training": {"epochs": 100_000}}
    run = Run(tmp_path / "run", "run_1", "train", {"recipe": recipe}, {"dataset": digits})
    process = running(run, server=server)
    wait_until(lambda: server.steps, 60, "the first epoch")
    process.send_signal(number)
    assert process.wait(15) == 1
    assert run.outcome.state == "cancelled"
    assert run.outcome.error["message"] == f"the run was stopped by {number.name}"
    assert any((run.folder / "checkpoints").iterdir())


def with_kind(body):
    """A process whose kind `odd` is `body`, beside the built-in ones."""
    return (
        "import errno, hashlib, sys, types\n"
        "from msgspec import Struct\n"
        "from modelyard import runs\n"
        "from modelyard.runs import process\n"
        "class Params(Struct, frozen=True): pass\n"
        f"def run(context):\n    {body}\n"
        "odd = sys.modules['odd'] = types.ModuleType('odd')\n"
        "odd.Params, odd.run = Params, run\n"
        "runs.KINDS['odd'] = 'odd'\n"
        "sys.exit(process.main(sys.argv[1:]))\n"
    )


def odd_run(folder):
    return Run(folder / "run", "run_1", "odd", {})


@pytest.mark.slow
def test_work_that_never_checks_is_ended_too(tmp_path, server, running):
    run = odd_run(tmp_path)
    # One call into C for minutes: no Python signal handler runs meanwhile.
    body = "context.reporter.metrics(1, {'x': 1.0}); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    process = running(run, server=server, script=with_kind(body))
    wait_until(lambda: server.steps, 30, "the work")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 1
    assert run.outcome.state == "cancelled"
    assert "did not end by itself" in run.log


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("bytearray(1 << 60)", "out_of_memory", "the run needed more memory than it may use"),
        ("import torch; torch.empty(1 << 60)", "out_of_memory", "the run needed more memory than it may use"),
        ("open('/dev/full', 'w').write('x' * 99999)", "disk_full", "the run found no space left on its disk"),
    ],
)
def test_too_little_memory_or_disk_is_said(tmp_path, body, code, message):
    run = odd_run(tmp_path)
    assert run.make(script=with_kind(body)) == 1
    assert run.outcome.state == "failed"
    assert run.outcome.error == {"code": code, "message": message}


def test_an_inner_error_is_general_outside_and_whole_in_the_log(tmp_path):
    run = odd_run(tmp_path)
    assert run.make(script=with_kind("raise RuntimeError(f'secret of {context.folder}')")) == 1
    assert run.outcome.state == "failed"
    assert run.outcome.error["code"] == "internal"
    assert "RuntimeError" in run.outcome.error["message"]
    assert "secret" not in (run.attempt / "outcome.json").read_text()
    assert "secret of" in run.log
    assert "Traceback" in run.log


@pytest.mark.parametrize(
    ("kind", "params", "code", "message"),
    [
        (
            "train",
            {"recipe": {"task": "tabular-regresion", "name": "m", "data": "d"}},
            "unknown_name",
            "regression",
        ),
        ("train", {"recipe": LONG}, "invalid_input", "no input 'dataset'"),
        ("evaluate", {"splits": "test"}, "unknown_name", "did you mean 'split'"),
        ("prepare", {"name": "d", "sources": ["../../spec.json"]}, "invalid_input", "no input 'sources'"),
        ("nothing", {}, "unknown_name", "run kind"),
    ],
)
def test_a_users_error_is_the_outcome(tmp_path, kind, params, code, message):
    run = Run(tmp_path / "run", "run_1", kind, params)
    assert run.make() == 1
    assert run.outcome.state == "failed"
    assert run.outcome.error["code"] == code
    assert message in run.outcome.error["message"]
    assert str(tmp_path) not in run.outcome.error["message"]


@pytest.mark.parametrize("name", ["../dataset/data.parquet", "..", "", "missing.csv"])
def test_a_source_outside_its_folder_is_refused(tmp_path, digits, name):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "a.csv").write_text("a,b\n1,2\n")
    inputs = {"sources": tmp_path / "sources", "dataset": digits}
    run = Run(tmp_path / "run", "run_1", "prepare", {"name": "d", "sources": [name]}, inputs)
    assert run.make() == 1
    assert "there is no such source" in run.outcome.error["message"]
    assert run.outcome.error["message"].endswith("allowed: a.csv")


def test_a_package_with_a_flipped_byte_is_the_outcome_with_its_file(tmp_path, digits):
    from small_package import write_package

    write_package(tmp_path / "package")
    data = bytearray((tmp_path / "package" / "model.onnx").read_bytes())
    data[100] ^= 4
    (tmp_path / "package" / "model.onnx").write_bytes(data)
    inputs = {"package": tmp_path / "package", "dataset": digits}
    run = Run(tmp_path / "run", "run_1", "evaluate", {}, inputs)
    assert run.make() == 1
    assert run.outcome.error["code"] == "corrupt"
    assert "'model.onnx'" in run.outcome.error["message"]


def test_what_an_earlier_process_left_is_gone(tmp_path):
    run = Run(tmp_path / "run", "run_1", "prepare", {"name": "wine", "options": {"builtin": "wine"}})
    outputs = run.folder / "attempt-1" / "outputs"
    (outputs / "dataset").mkdir(parents=True)
    (outputs / "dataset" / "half.parquet").write_bytes(b"half")
    (outputs.parent / "outcome.json").write_text('{"state":"failed"}')
    assert run.make() == 0, run.log
    assert run.outcome.state == "succeeded"
    assert not (outputs / "dataset" / "half.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "usage"), (["RUN", "x"], "usage"), (["RUN", "2"], "of another attempt; came: 1; allowed: 2")],
)
def test_without_an_attempt_to_make_nothing_is_written(tmp_path, arguments, message):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spec.json").write_text(
        '{"id":"r","attempt":1,"kind":"prepare","tenant":"default","params":{}}'
    )
    command = [
        sys.executable,
        "-m",
        "modelyard.runs.process",
        *(str(folder) if a == "RUN" else a for a in arguments),
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert message in found.stdout
    assert [path.name for path in Path(folder).iterdir()] == ["spec.json"]
