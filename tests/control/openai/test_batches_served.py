"""Batches of models that are deployed: what the run sends is answered by real replicas."""

import json
import os
import signal

import pytest

from waiting import wait_until

from .test_batches import begin, ended, read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
COMPLETIONS, CHAT, EMBEDDINGS = "/v1/completions", "/v1/chat/completions", "/v1/embeddings"


@pytest.fixture(scope="module")
def served(stocked):
    for name in ("tiny", "vectors"):
        stocked.platform.post("deployments", {"name": name, "model": name, "replicas": 1})
    for name in ("tiny", "vectors"):
        wait_until(lambda n=name: _state(stocked, n) == "ready", 120, name)
    return stocked


def _state(site, name):
    return site.platform.get(f"deployments/{name}")["state"]


def lines(count, url, body):
    return b"".join(
        json.dumps({"custom_id": f"id-{n}", "method": "POST", "url": url, "body": body(n)}).encode() + b"\n"
        for n in range(count)
    )


def test_embeddings_equal_those_of_the_client(served):
    data = lines(30, EMBEDDINGS, lambda n: {"model": "vectors", "input": f"the sum of {n} tokens"})
    batch = ended(served.client, begin(served.client, data, endpoint=EMBEDDINGS).id)
    assert (batch.status, batch.request_counts.completed, batch.error_file_id) == ("completed", 30, None), (
        batch
    )
    found = {
        line["custom_id"]: line["response"]["body"] for line in read(served.client, batch.output_file_id)
    }
    assert len(found) == 30
    for n in range(30):
        own = served.client.embeddings.create(
            model="vectors", input=f"the sum of {n} tokens", encoding_format="float"
        )
        assert found[f"id-{n}"]["data"][0]["embedding"] == own.data[0].embedding
    tokens = sum(body["usage"]["prompt_tokens"] for body in found.values())
    assert (batch.usage.input_tokens, batch.usage.total_tokens) == (tokens, tokens)
    assert tokens > 0
    assert batch.model == "vectors"


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (COMPLETIONS, lambda n: {"model": "tiny", "prompt": f"the cat {n}", "max_tokens": 4, "temperature": 0}),
        (CHAT, lambda n: {"model": "tiny", "messages": [{"role": "user", "content": f"who {n}"}], "max_tokens": 4}),
    ],
)  # fmt: skip
def test_generation(served, url, body):
    """Among the lines one that the model refuses: it goes to the other file."""
    data = lines(12, url, lambda n: body(n) if n != 5 else {**body(n), "temperature": -1})
    batch = ended(served.client, begin(served.client, data, endpoint=url).id, 120)
    assert batch.status == "completed", batch
    assert (batch.request_counts.completed, batch.request_counts.failed) == (11, 1)
    answered = read(served.client, batch.output_file_id)
    assert {line["custom_id"] for line in answered} == {f"id-{n}" for n in range(12) if n != 5}
    choices = [line["response"]["body"]["choices"] for line in answered]
    assert all(len(c) == 1 and c[0]["finish_reason"] in ("stop", "length") for c in choices)
    usage = [line["response"]["body"]["usage"] for line in answered]
    assert batch.usage.output_tokens == sum(u["completion_tokens"] for u in usage) > 0
    assert batch.usage.input_tokens == sum(u["prompt_tokens"] for u in usage) > 0
    (refused,) = read(served.client, batch.error_file_id)
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("id-5", 400)
    assert refused["response"]["body"]["error"]["param"] == "temperature"


def test_everything_is_killed_meanwhile(served):
    """The run, the gateway, the replica and control, each by kill -9 while the batch is on its way: every line is
    answered once."""
    count, platform = 4000, served.platform
    data = lines(count, EMBEDDINGS, lambda n: {"model": "vectors", "input": f"the sum of {n} tokens"})
    made = begin(served.client, data, endpoint=EMBEDDINGS)
    run = platform.get("runs")["items"][0]["id"]
    answered = 0
    for name in ("run/", "gateway", "replica/", "control"):
        wait_until(lambda n=answered: n < done(platform, run), 60, f"answers before {name}")
        answered = done(platform, run)
        assert answered < count, name
        pids = wait_until(lambda n=name: [p for k, p in platform.pids().items() if k.startswith(n)], 30, name)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    platform.again()
    batch = ended_somehow(served, made.id)
    assert (batch.status, batch.error_file_id) == ("completed", None), batch
    assert (batch.request_counts.completed, batch.request_counts.failed) == (count, 0)
    names = [line["custom_id"] for line in read(served.client, batch.output_file_id)]
    assert sorted(names) == sorted(f"id-{n}" for n in range(count))
    assert platform.get(f"runs/{run}")["attempt"] == 2, "only what was killed is begun again"


def done(platform, run):
    return (platform.get(f"runs/{run}")["progress"] or {"done": 0})["done"]


def ended_somehow(site, batch_id):
    """Also while the gateway is being started again."""
    import openai

    def look():
        try:
            batch = site.client.batches.retrieve(batch_id)
        except (openai.APIConnectionError, openai.InternalServerError, openai.AuthenticationError):
            return None
        return batch if batch.status in ("completed", "failed", "expired", "cancelled") else None

    return wait_until(look, 120, batch_id)
