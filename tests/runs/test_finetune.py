"""The run kind, in this process and as a process of its own that is killed."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard import packages, runs
from modelyard.datasets import IngestOptions, ingest, open_dataset
from modelyard.engines import replying
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.table import open_generator
from modelyard.errors import Corrupt, InvalidInput
from modelyard.packages import replies
from modelyard.runs.context import RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.types.report import Report
from modelyard.types.run import RunOutcome, RunSpec
from tiny_language_model import TEXTS, write_lines, write_package
from waiting import wait_until

pytestmark = pytest.mark.slow

RECIPE = {
    "task": "text-generation",
    "name": "tuned",
    "data": "lines",
    "base": "tiny",
    "training": {
        "rank": 8, "learning_rate": 0.02, "sequence_length": 64, "epochs": 4, "batch_size": 2, "dropout": 0.1,
        "checkpoint_every": 1,
    },
    "evaluation": {"bootstrap": 20},
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_package(folder / "base")
    write_lines(folder / "lines.jsonl", [{"text": f"{TEXTS[n % 4]} {n}"} for n in range(60)])
    ingest([folder / "lines.jsonl"], IngestOptions(), folder / "dataset", RunReporter())
    (folder / "lines.jsonl").unlink()
    return folder


def start(folder: Path, inputs: Path, attempt: int = 1, **params: Any) -> RunContext:
    """A run's folder with its inputs, as control makes it."""
    if not (folder / "inputs").exists():
        shutil.copytree(inputs, folder / "inputs")
    digests = {
        "base": packages.digest(folder / "inputs/base"),
        "dataset": open_dataset(folder / "inputs/dataset").digest,
    }
    given = {"recipe": RECIPE, "dataset": "lines:1", "base": "tiny:1"} | params
    spec = RunSpec(
        id="run_1", attempt=attempt, kind="finetune", tenant="default", params=given, inputs=digests
    )
    context = RunContext(spec=spec, folder=folder, reporter=RunReporter())
    context.outputs.mkdir(parents=True, exist_ok=True)
    return context


@pytest.fixture(scope="module")
def done(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, RunOutcome]:
    context = start(tmp_path_factory.mktemp("run"), inputs)
    return context, runs.load("finetune").run(context)


def test_a_run_leaves_a_package_and_a_report(done: tuple[RunContext, RunOutcome]) -> None:
    import msgspec

    context, outcome = done
    assert outcome.outputs == {"package": "package", "report": "report"}
    manifest = packages.read(context.outputs / "package")
    assert manifest.lineage.parent == context.spec.inputs["base"]
    assert manifest.lineage.dataset_digest == context.spec.inputs["dataset"]
    report = msgspec.json.decode((context.outputs / "report/report.json").read_bytes(), type=Report)
    assert report.model_digest == packages.digest(manifest) == outcome.summary["digest"]
    assert (report.split, report.rows, report.metrics.main) == ("test", 6, "perplexity")
    assert outcome.summary["trained_tokens"] > 0
    assert report.interval.low <= report.interval.value <= report.interval.high
    assert report.interval.value < report.metrics.values["perplexity_before"] == outcome.summary["before"]
    assert {"train/loss", "learning_rate", "validation/perplexity"} <= report.history.keys()
    page = (context.outputs / "report/report.html").read_text()
    assert "Perplexity before" in page
    assert "<svg" in page


def test_the_engine_answers_as_the_trainer_did(done: tuple[RunContext, RunOutcome]) -> None:
    """Greedy, word for word, by the engine that serves it."""
    folder = done[0].outputs / "package"
    manifest = packages.read(folder)
    assert isinstance(manifest.replies, replies.Replies)
    golden = replies.read(folder, manifest.replies)

    async def asked() -> tuple[replies.Reply, ...]:
        generator = open_generator(folder, manifest, GeneratorOptions(slots=1, threads=1))
        try:
            await replying.replay(generator, folder, manifest)
            return await replying.replies_of(generator, [reply.prompt for reply in golden])
        finally:
            await generator.aclose()

    found = asyncio.run(asked())
    assert found
    for expected, reply in zip(golden, found, strict=True):
        assert "".join(expected.tokens).startswith("".join(reply.tokens).rstrip("\ufffd"))
        assert reply.logprobs == pytest.approx(expected.logprobs[: len(reply.logprobs)], abs=1e-3)


def test_an_input_that_is_not_the_one_that_was_meant_is_refused(inputs: Path, tmp_path: Path) -> None:
    context = start(tmp_path, inputs)
    weights = tmp_path / "inputs/base/huggingface/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        runs.load("finetune").run(context)


def test_parameters_are_checked() -> None:
    with pytest.raises(InvalidInput, match="recipe"):
        runs.read_params("finetune", {"recipe": "x"})
    assert runs.read_params("finetune", {"recipe": RECIPE}).base == ""  # type: ignore[attr-defined]


@pytest.mark.slow  # three processes that import torch
def test_a_killed_process_goes_on_and_ends_at_the_same_bytes(
    done: tuple[RunContext, RunOutcome], inputs: Path, tmp_path: Path
) -> None:
    from msgspec import json as encoding

    context = start(tmp_path, inputs)
    (tmp_path / "spec.json").write_bytes(encoding.encode(context.spec))
    first = process(tmp_path, 1)
    try:
        wait_until(lambda: any((tmp_path / "checkpoints").glob("*.safetensors")), 100, "a checkpoint")
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait(timeout=10)
    assert first.returncode == -signal.SIGKILL
    assert not (tmp_path / "attempt-1/outcome.json").exists()
    second = start(tmp_path, inputs, attempt=2)
    (tmp_path / "spec.json").write_bytes(encoding.encode(second.spec))
    assert process(tmp_path, 2).wait(timeout=100) == 0
    outcome = json.loads((tmp_path / "attempt-2/outcome.json").read_text())
    assert outcome["summary"]["digest"] == done[1].summary["digest"]


def process(folder: Path, attempt: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "modelyard.runs.process", str(folder), str(attempt)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / f"log-{attempt}.txt").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)
