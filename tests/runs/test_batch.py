"""The run of a batch against a real server: every line answered once, whatever happens meanwhile."""

import json
import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from endpoint_server import embedding, endpoint_server
from event_server import TOKEN, event_server
from modelyard.errors import Cancelled, InvalidInput
from modelyard.runs import batch
from modelyard.runs.batch_answers import ERRORS, OUTPUT, read_answers
from modelyard.runs.context import RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.types.run import RunOutcome, RunSpec
from waiting import wait_until

URL = "/v1/embeddings"


def write_input(folder, texts, url=URL):
    (folder / "inputs/sources").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    lines = [
        {"custom_id": f"id-{t}", "method": "POST", "url": url, "body": {"model": "m", "input": t}}
        for t in texts
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "inputs/sources/input.jsonl").write_text(text)


def spec_of(server, expires_at=None, **params):
    params = {"endpoint": URL, "expires_at": expires_at or time.time() + 3600, **params}
    return RunSpec(id="run_b", attempt=1, kind="batch", tenant="default", params=params,
                   gateway_url=server.url if server else "", gateway_key="the-key")  # fmt: skip


def make(folder, server, reporter=None, **options):
    context = RunContext(spec=spec_of(server, **options), folder=folder, reporter=reporter or RunReporter())
    return batch.run(context)


def answered(folder, name=OUTPUT):
    return {a.custom_id.removeprefix("id-"): a for _, a in read_answers(folder / "checkpoints" / name)}


class Collected:
    def __init__(self):
        self.events = []

    def put(self, event):
        self.events.append(event)


def test_every_line_is_answered_in_the_shape_of_openai(tmp_path):
    texts = [f"text {n}" for n in range(40)]
    write_input(tmp_path, texts)
    sink = Collected()
    with endpoint_server() as server:
        outcome = make(tmp_path, server, RunReporter(sink), at_once=4)
    assert server.asked == dict.fromkeys(texts, 1)
    assert server.keys == {"Bearer the-key"}
    assert server.most <= 4
    assert outcome.state == "succeeded"
    tokens = sum(map(len, texts))
    assert outcome.summary == {
        "requests": 40, "model": "m", "completed": 40, "failed": 0, "input_tokens": tokens, "cached_tokens": 40,
        "output_tokens": 80, "reasoning_tokens": 40,
    }  # fmt: skip
    found = answered(tmp_path)
    assert set(found) == set(texts)
    line = json.loads((tmp_path / "checkpoints" / OUTPUT).read_bytes().splitlines()[0])
    assert set(line) == {"id", "custom_id", "response", "error"}
    text = line["custom_id"].removeprefix("id-")
    assert line["response"] == {
        "status_code": 200, "request_id": f"req-{text}", "body": json.loads(embedding(text)[1]),
    }  # fmt: skip
    steps = {e.step: e.metrics for e in sink.events if e.metrics}
    assert steps[0]["completed"] == 0
    assert (steps[40]["completed"], steps[40]["input_tokens"]) == (40, tokens)
    assert all(m["completed"] + m["failed"] == step for step, m in steps.items())
    assert [(e.done, e.total) for e in sink.events if e.done is not None][-1] == (40, 40)


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_busy_gateway_is_asked_again(tmp_path, status):
    write_input(tmp_path, ["a", "b"])

    def busy(text, before):
        return (status, b'{"error": {}}') if before < 2 else embedding(text)

    with endpoint_server(busy) as server:
        assert make(tmp_path, server).summary["completed"] == 2
    assert server.asked == {"a": 3, "b": 3}


def test_its_wish_to_be_asked_later_is_heeded(tmp_path):
    write_input(tmp_path, ["a"])
    times = []

    def busy(text, before):
        times.append(time.monotonic())
        return (429, b"{}") if before < 1 else embedding(text)

    with endpoint_server(busy) as server:
        server.retry_after = "1"
        make(tmp_path, server)
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize(
    ("status", "tries"), [(400, 1), (404, 1), (413, 1), (422, 1), (500, 3), (502, 3), (504, 3)]
)
def test_what_is_refused_goes_to_the_other_file(tmp_path, status, tries):
    write_input(tmp_path, ["bad", "good"])

    def refusing(text, before):
        return (status, b'{"error": {"message": "no"}}') if text == "bad" else embedding(text)

    with endpoint_server(refusing) as server:
        outcome = make(tmp_path, server)
    assert server.asked == {"bad": tries, "good": 1}
    assert (outcome.summary["completed"], outcome.summary["failed"]) == (1, 1)
    assert set(answered(tmp_path)) == {"good"}
    failed = answered(tmp_path, ERRORS)["bad"]
    assert failed.response.status_code == status
    assert json.loads(bytes(failed.response.body)) == {"error": {"message": "no"}}
    assert failed.error is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"a": NaN}', b"[" * 100_000])
def test_an_answer_that_is_no_json(tmp_path, body):
    write_input(tmp_path, ["a"])
    with endpoint_server(lambda text, before: (200, body)) as server:
        make(tmp_path, server)
    failed = answered(tmp_path, ERRORS)["a"]
    assert (failed.response, failed.error.code) == (None, "invalid_response")


def test_an_answer_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("modelyard.runs.batch_sending._ANSWER_BYTES", 1000)
    write_input(tmp_path, ["a"])
    with endpoint_server(lambda text, before: (200, b'"' + b"x" * 2000 + b'"')) as server:
        make(tmp_path, server)
    assert answered(tmp_path, ERRORS)["a"].error.code == "response_too_large"


def test_time_that_is_over(tmp_path):
    write_input(tmp_path, ["a", "b", "c"])
    with endpoint_server() as server:
        server.gate.clear()
        outcome = make(tmp_path, server, expires_at=time.time() + 0.5, at_once=2)
    assert outcome.state == "succeeded"
    assert outcome.summary["expired"] is True
    assert (outcome.summary["completed"], outcome.summary["failed"]) == (0, 3)
    assert {a.error.code for a in answered(tmp_path, ERRORS).values()} == {"batch_expired"}


def test_time_that_was_over_before_it_began_keeps_what_is_answered(tmp_path):
    write_input(tmp_path, ["a", "b"])
    with endpoint_server(lambda text, before: (400, b"{}") if text == "b" else embedding(text)) as server:
        make(tmp_path, server)
        (tmp_path / "checkpoints" / ERRORS).unlink()
        outcome = make(tmp_path, server, expires_at=1.0)
    assert server.asked == {"a": 1, "b": 1}
    assert set(answered(tmp_path)) == {"a"}
    assert answered(tmp_path, ERRORS)["b"].error.code == "batch_expired"
    assert outcome.summary["expired"] is True


def test_a_stop_leaves_what_is_answered(tmp_path):
    write_input(tmp_path, ["a", "b", "c"])
    reporter = RunReporter()

    def stopping(text, before):
        if text == "b":
            reporter.stop("the run was cancelled")
            threading.Event().wait(1.0)
        return embedding(text)

    with endpoint_server(stopping) as server, pytest.raises(Cancelled):
        make(tmp_path, server, reporter, at_once=1)
    assert set(answered(tmp_path)) == {"a"}


def test_lines_that_are_wrong_are_told_and_nothing_is_sent(tmp_path):
    write_input(tmp_path, ["a", "a"], url="/v1/completions")
    with endpoint_server() as server:
        outcome = make(tmp_path, server)
    assert not server.asked
    assert outcome.state == "failed"
    assert [(e["line"], e["code"], e["param"]) for e in outcome.error["errors"]] == [
        (1, "invalid_url", "url"), (2, "duplicate_custom_id", "custom_id"),
    ]  # fmt: skip
    assert outcome.error["message"].startswith("line 1: url is '/v1/completions'")


def test_without_a_gateway(tmp_path):
    write_input(tmp_path, ["a"])
    with pytest.raises(InvalidInput, match="gateway"):
        make(tmp_path, None)


@pytest.mark.slow
def test_kill_9_and_again_until_all_is_answered_once(tmp_path):
    """Killed at whatever it was doing, five times; between them the gateway goes away and comes back."""
    texts = [f"t{n}" for n in range(300)]
    write_input(tmp_path, texts)

    def slow(text, before):
        threading.Event().wait(0.01)
        return embedding(text) if int(text[1:]) % 10 else (400, b'{"error": {"message": "no"}}')

    with event_server() as events, endpoint_server(slow) as server:
        for attempt in range(1, 6):
            child = start(tmp_path, server, events, attempt)
            wait_until(lambda: server.asked.total() >= 40 * attempt, 30, "requests")  # noqa: B023
            child.send_signal(signal.SIGKILL)
            child.wait(10)
        child = start(tmp_path, server, events, 6)
        assert child.wait(60) == 0, (tmp_path / "attempt-6/log.txt").read_text()
    outcome = msgspec.json.decode((tmp_path / "attempt-6/outcome.json").read_bytes(), type=RunOutcome)
    assert (outcome.summary["completed"], outcome.summary["failed"]) == (270, 30)
    good = [a.custom_id for _, a in read_answers(tmp_path / "checkpoints" / OUTPUT)]
    failed = [a.custom_id for _, a in read_answers(tmp_path / "checkpoints" / ERRORS)]
    assert sorted(good + failed) == sorted(f"id-{t}" for t in texts)
    asked_again = sum(n - 1 for n in server.asked.values())
    assert asked_again <= 5 * 16, "only what was on its way is asked again"


def start(folder, server, events, attempt):
    spec = msgspec.structs.replace(spec_of(server), attempt=attempt, control_url=events.url, token=TOKEN)
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    (folder / f"attempt-{attempt}").mkdir()
    argv = [sys.executable, "-m", "modelyard.runs.process", str(folder), str(attempt)]
    with (folder / f"attempt-{attempt}/log.txt").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
