"""Batches, with the stock client, through the real gateway, control and launcher."""

import json
import os
import signal

import msgspec
import openai
import pytest

from control_seed import add_run, add_tenant
from modelyard.control.services import attempt_keys, batch_files, keys, run_queue, runs, usage
from modelyard.runs.batch_answers import Answers, Failure, Response, answer
from modelyard.store.openai import ApiFile, Batch
from modelyard.store.work import Run
from modelyard.types.route import KeyGrant
from modelyard.types.usage import UsageReport, UsageRow, day_of
from openai_client import stock_client
from waiting import wait_until

EMBEDDINGS = "/v1/embeddings"
ENDED = ("completed", "failed", "expired", "cancelled")


def lines(count, model="nothing", url=EMBEDDINGS):
    return b"".join(
        json.dumps({"custom_id": f"id-{n}", "method": "POST", "url": url,
                    "body": {"model": model, "input": f"text {n}"}}).encode() + b"\n"
        for n in range(count)
    )  # fmt: skip


def keep(client, data):
    return client.files.create(file=("input.jsonl", data), purpose="batch").id


def begin(client, data, **options):
    given = {"endpoint": EMBEDDINGS, "completion_window": "24h", **options}
    return client.batches.create(input_file_id=keep(client, data), **given)


def ended(client, batch_id, seconds=60):
    def look():
        batch = client.batches.retrieve(batch_id)
        return batch if batch.status in ENDED else None

    return wait_until(look, seconds, batch_id)


def read(client, file_id):
    return [json.loads(line) for line in client.files.content(file_id).read().splitlines()]


@pytest.mark.slow
def test_a_batch_whose_model_is_not_there(site):
    """Every line comes back, in the file of errors: the gateway has let the attempt in, and knows no such model."""
    kept = {"anchor": "created_at", "seconds": 7200}
    made = begin(site.client, lines(50), metadata={"team": "a"}, output_expires_after=kept)
    assert made.id.startswith("batch_")
    assert (made.object, made.endpoint, made.completion_window) == ("batch", EMBEDDINGS, "24h")
    assert made.status == "validating"
    assert (made.request_counts.total, made.request_counts.completed) == (50, 0)
    assert made.expires_at == made.created_at + 24 * 3600
    assert made.metadata == {"team": "a"}
    batch = ended(site.client, made.id)
    assert batch.status == "completed", batch
    assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 50)
    assert batch.model == "nothing"
    assert batch.output_file_id is None
    assert made.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    assert (batch.failed_at, batch.cancelled_at, batch.expired_at, batch.errors) == (None, None, None, None)
    found = read(site.client, batch.error_file_id)
    assert {line["custom_id"] for line in found} == {f"id-{n}" for n in range(50)}
    assert len(found) == 50
    assert {line["response"]["status_code"] for line in found} == {404}
    assert set(found[0]["response"]["body"]["error"]) == {"message", "type", "param", "code"}
    assert found[0]["response"]["request_id"]
    file = site.client.files.retrieve(batch.error_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{made.id}_error.jsonl")
    assert file.expires_at == file.created_at + 7200
    assert made.id in [b.id for b in site.client.batches.list(limit=1)]
    site.client.files.delete(made.input_file_id)
    assert site.client.batches.retrieve(made.id).input_file_id == made.input_file_id


@pytest.mark.slow
def test_lines_for_another_endpoint(site):
    batch = ended(site.client, begin(site.client, lines(3), endpoint="/v1/chat/completions").id)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert [(e.line, e.code, e.param) for e in batch.errors.data] == [
        (n, "invalid_url", "url") for n in (1, 2, 3)
    ]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


@pytest.fixture
def stopped_gateway(site):
    """The gateway does not answer, so a batch goes on; control is asked itself meanwhile."""
    pid = site.platform.pids()["gateway"]
    os.kill(pid, signal.SIGSTOP)
    with stock_client(site.platform.config.control_url, site.key) as client:
        yield client
    os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_cancelling_one_that_works(site, stopped_gateway):
    client = stopped_gateway
    made = begin(client, lines(20))
    wait_until(lambda: client.batches.retrieve(made.id).status == "in_progress", 30, "in_progress")
    batch = client.batches.cancel(made.id)
    assert batch.status in ("cancelling", "cancelled")
    batch = ended(client, made.id)
    assert batch.status == "cancelled"
    assert made.created_at <= batch.cancelling_at <= batch.cancelled_at
    with pytest.raises(openai.BadRequestError, match="ended already"):
        client.batches.cancel(ended(client, begin(client, lines(1), endpoint="/v1/completions").id).id)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(site, stopped_gateway):
    client = stopped_gateway
    made = begin(client, lines(20))
    name = wait_until(
        lambda: next((p for p in site.platform.pids() if p.startswith("run/")), None), 30, "a run"
    )
    wait_until(lambda: client.batches.retrieve(made.id).status == "in_progress", 30, "in_progress")
    site.platform.kill(name)
    wait_until(lambda: name.replace("/1", "/2") in site.platform.pids(), 30, "the next attempt")
    os.kill(site.platform.pids()["gateway"], signal.SIGCONT)
    batch = ended(client, made.id)
    assert (batch.status, batch.request_counts.failed) == ("completed", 20)
    found = [line["custom_id"] for line in read(client, batch.error_file_id)]
    assert sorted(found) == sorted(f"id-{n}" for n in range(20))


@pytest.mark.slow
def test_its_keys_are_its_own(site, stopped_gateway):
    """Not in the arguments of the process, in no file that others may read, and gone with the attempt."""
    client = stopped_gateway
    made = begin(client, lines(1))
    name = wait_until(
        lambda: next((p for p in site.platform.pids() if p.startswith("run/")), None), 30, "a run"
    )
    folder = site.platform.home.runs / name.split("/")[1]
    spec = wait_until(lambda: (folder / "spec.json").exists() and folder / "spec.json", 10)
    key = json.loads(spec.read_bytes())["gateway_key"]
    assert spec.stat().st_mode & 0o777 == 0o600
    pid = site.platform.pids()[name]
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        assert key.encode() not in f.read()
    with open(f"/proc/{pid}/environ", "rb") as f:
        assert key.encode() not in f.read()
    os.kill(site.platform.pids()["gateway"], signal.SIGCONT)
    ended(client, made.id)
    wait_until(lambda: site.ask("GET", "models", key).status_code == 401, 10, "the key's end")
    assert not spec.exists()
    text = (folder / "attempt-1/log.txt").read_bytes()
    assert key.encode() not in text


def test_the_same_request_twice_is_one_batch(site):
    file = keep(site.client, lines(1))
    given = {"input_file_id": file, "endpoint": EMBEDDINGS, "completion_window": "24h"}
    headers = {"Idempotency-Key": "batch-1"}
    first, second = (site.ask("POST", "batches", json=given, headers=headers).json()["id"] for _ in range(2))
    assert first == second
    other = {**given, "endpoint": "/v1/completions"}
    assert "Idempotency-Key" in site.refused("POST", "batches", 400, json=other, headers=headers)["message"]
    ended(site.client, first)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"endpoint": "/v1/models"}, 400, "endpoint"),
        ({"endpoint": "http://elsewhere/"}, 400, "endpoint"),
        ({"endpoint": None}, 400, "endpoint"),
        ({"completion_window": "48h"}, 400, "completion_window"),
        ({"completion_window": 24}, 400, "completion_window"),
        ({"input_file_id": "file-" + "0" * 26}, 404, "input_file_id"),
        ({"input_file_id": "../x"}, 404, "input_file_id"),
        ({"input_file_id": 1}, 400, "input_file_id"),
        ({"metadata": {str(n): "x" for n in range(17)}}, 400, "metadata"),
        ({"metadata": {"x": "y" * 513}}, 400, "metadata"),
        ({"metadata": {"x": 1}}, 400, "metadata[...]"),
        ({"metadata": "x"}, 400, "metadata"),
        ({"metadata": {"x": "\0"}}, 400, "metadata"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            400,
            "output_expires_after.seconds",
        ),
        ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, 400, "output_expires_after.anchor"),
        ({"tenant": "other"}, 400, "tenant"),
        ({"role": "admin"}, 400, "role"),
    ],
)
def test_batches_that_are_none(site, change, status, param):
    given = {"input_file_id": keep(site.client, lines(1)), "endpoint": EMBEDDINGS, "completion_window": "24h"}
    site.refused("POST", "batches", status, param, json={**given, **change})


def test_a_file_for_another_purpose(site):
    file = site.client.files.create(file=("a.jsonl", lines(1)), purpose="user_data").id
    given = {"input_file_id": file, "endpoint": EMBEDDINGS, "completion_window": "24h"}
    site.refused("POST", "batches", 400, "input_file_id", json=given)


@pytest.mark.parametrize(
    "query", ["limit=1000000000", "limit=101", "limit=0", "after=file-" + "0" * 26, "after=x"]
)
def test_pages_that_are_none(site, query):
    site.refused("GET", f"batches?{query}", 400, query.partition("=")[0])


@pytest.mark.parametrize("batch", ["batch_" + "0" * 26, "nothing", "%00", "run_" + "0" * 26])
def test_batches_that_are_not_there(site, batch):
    site.refused("GET", f"batches/{batch}", 404, "batch_id")
    site.refused("POST", f"batches/{batch}/cancel", 404, "batch_id")


def test_runs_of_batches_have_their_own_address(site):
    response = site.platform.http.post("/api/v1/runs", json={"kind": "batch", "params": {}})
    assert response.status_code == 400
    assert "/v1/batches" in response.text


# What control does by itself, without processes.


def add_batch(platform, tenant="default", state="running", key="key_x", **fields):
    run = add_run(platform, tenant, state, kind="batch", **{"attempt": 1, **fields})
    with platform.database.write() as session:
        batch = Batch(id=f"batch_{run}", tenant=tenant, run_id=run, key_id=key, input_file="file-x",
                      endpoint=EMBEDDINGS,
                      notes={}, total=3, created_at=1.0, expires_at=2.0,
                      output_seconds=None, cancelling_at=None)  # fmt: skip
        session.add(batch)
    return run


def leave_answers(platform, run, torn=b""):
    folder = platform.home.runs / run / "checkpoints"
    folder.mkdir(parents=True)
    with Answers(folder) as answers:
        body = msgspec.Raw(b'{"usage":{"prompt_tokens":3}}')
        answers.add(answer("a", response=Response(status_code=200, request_id="r", body=body)))
        answers.add(answer("b", error=Failure(code="x", message="m")))
    with (folder / "output.jsonl").open("ab") as f:
        f.write(torn)


def load(platform, run):
    with platform.database.read() as session:
        return session.get_one(Run, run)


def content(platform, file_id):
    with platform.database.read() as session:
        row = session.get_one(ApiFile, file_id)
    with platform.blobs.open(row.sha256) as f:
        return [json.loads(line)["custom_id"] for line in f], row


@pytest.mark.parametrize("torn", [b"", b'{"id": "batch_req_'])
def test_what_was_answered_is_kept_at_a_cancelled_end(platform, torn):
    run = add_batch(platform, cancel_requested=True)
    leave_answers(platform, run, torn)
    run_queue.settle(platform, load(platform, run), "was ended by signal 9", own_failure=True)
    row = load(platform, run)
    assert row.state == "cancelled"
    assert (row.summary["completed"], row.summary["failed"], row.summary["input_tokens"]) == (1, 1, 3)
    assert content(platform, row.outputs["output_file_id"])[0] == ["a"]
    names, file = content(platform, row.outputs["error_file_id"])
    assert (names, file.purpose, file.lines) == (["b"], "batch_output", 1)
    assert not (platform.home.runs / run / "checkpoints").exists()


def test_a_batch_that_waits_again_keeps_its_answers_when_it_is_cancelled(platform):
    run = add_batch(platform, state="queued")
    leave_answers(platform, run)
    runs.cancel(platform, "default", run)
    assert content(platform, load(platform, run).outputs["output_file_id"])[0] == ["a"]


def test_a_batch_that_fails_keeps_its_answers(platform):
    run = add_batch(platform, failures=run_queue.MOST_FAILURES - 1)
    leave_answers(platform, run)
    run_queue.settle(platform, load(platform, run), "was ended by signal 9", own_failure=True)
    row = load(platform, run)
    assert (row.state, row.error["code"]) == ("failed", "process_died")
    assert content(platform, row.outputs["output_file_id"])[0] == ["a"]


def test_a_batch_that_was_interrupted_waits_with_what_it_has(platform):
    run = add_batch(platform)
    leave_answers(platform, run)
    run_queue.settle(platform, load(platform, run), "was ended by signal 9", own_failure=True)
    row = load(platform, run)
    assert (row.state, row.outputs) == ("queued", {})
    assert (platform.home.runs / run / "checkpoints/output.jsonl").exists()


def test_other_runs_have_no_answers(platform):
    assert batch_files.gather(platform, load(platform, add_run(platform, state="running"))) is None


def test_the_gateway_knows_the_attempts_that_work(platform):
    add_tenant(platform, "other")
    limited = keys.create(platform, "default", "limited", ["predict"], budget=50).id
    free = keys.create(platform, "other", "free", ["predict"]).id
    keys.revoke(platform, "other", free)
    mine, others = add_batch(platform, key=limited), add_batch(platform, "other", key=free, attempt=2)
    add_batch(platform, state="queued")
    add_run(platform, state="running")
    today = day_of(platform.now())
    row = UsageRow(tenant="default", key=limited, model="m", day=today, prompt=7)
    usage.receive(platform, UsageReport(source="x", rows=(row,)))
    with platform.database.read() as session:
        grants = attempt_keys.grants(platform, session)
    batch = {"scopes": ("predict",), "priority": "batch", "day": today}
    assert set(grants.values()) == {
        KeyGrant(id=limited, tenant="default", budget=50, used=7, **batch),
        KeyGrant(id=free, tenant="other", **batch),
    }
    key = attempt_keys.attempt_key(platform, mine, 1)
    assert grants[keys.hash_of(platform, key)].id == limited
    for run, attempt in ((mine, 2), (others, 1)):
        assert keys.hash_of(platform, attempt_keys.attempt_key(platform, run, attempt)) not in grants


def test_one_tenants_batches_take_half_of_the_places(platform):
    add_tenant(platform, "other")
    for _ in range(2):
        add_batch(platform)
    add_batch(platform, state="queued")
    assert run_queue.next_queued(platform, frozenset()) is None
    waiting = add_batch(platform, "other", state="queued")
    assert run_queue.next_queued(platform, frozenset()).id == waiting
    evaluate = add_run(platform, kind="evaluate")
    assert run_queue.next_queued(platform, frozenset({waiting})).id == evaluate
    for _ in range(2):
        add_batch(platform, "other")
    assert run_queue.next_queued(platform, frozenset({evaluate})) is None
