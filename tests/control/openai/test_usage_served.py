"""Budgets, usage and tenants through a whole platform, with the stock client."""

import json
import signal

import httpx
import openai
import pytest

from waiting import wait_until

from .test_batches import begin, ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TEXT = "the sum of all tokens"
SERVED = {"metered": "vectors", "written": "tiny"}


@pytest.fixture(scope="module")
def served(stocked):
    """Under names of their own, so that nobody else's calls are counted."""
    for name, model in SERVED.items():
        stocked.platform.post("deployments", {"name": name, "model": model, "replicas": 1})
    for name in SERVED:
        wait_until(lambda n=name: stocked.platform.get(f"deployments/{n}")["state"] == "ready", 120, name)
    return stocked


def made(site, name, tenant=None, **more):
    """A key that the gateway knows; its id, and a client with it."""
    query = f"?tenant={tenant}" if tenant else ""
    key = site.platform.post(f"keys{query}", {"name": name, "scopes": ["predict"], **more})
    client = site.other(key["key"])
    wait_until(lambda: _lists(client), 20, "the gateway to hear of the key")
    return key["id"], client


def _lists(client):
    try:
        return client.models.list() is not None
    except openai.AuthenticationError:
        return False


def embed(client, text=TEXT, model="metered"):
    return client.embeddings.create(model=model, input=text).usage.total_tokens


def usage(site, **query):
    return site.platform.get("usage", **query)["items"]


def tokens_of(site, key, **query):
    return sum(one["tokens"] for one in usage(site, key=key, **query))


def change(site, key, budget):
    response = site.platform.http.patch(f"/api/v1/keys/{key}", json={"budget": budget})
    assert response.status_code == 200, response.text
    return response.json()


def spend(client):
    """Until the budget is; the tokens that were used, and the refusal."""
    used = 0
    for _ in range(100):
        try:
            used += embed(client)
        except openai.RateLimitError as refusal:
            return used, refusal
    raise AssertionError("nothing was refused")


def test_what_a_key_uses_is_known_to_the_token(served):
    key, client = made(served, "counted")
    used = [embed(client, TEXT * (n + 1)) for n in range(5)]
    asked = {"model": "written", "prompt": "the cat sat", "max_tokens": 5}
    whole = client.completions.create(**asked).usage
    streamed = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    parts = streamed[-1].usage
    wait_until(lambda: len(usage(served, key=key)) == 2, 10, "reports")
    wait_until(lambda: sum(one["requests"] for one in usage(served, key=key)) == 7, 10, "all of them")
    embedded, written = sorted(usage(served, key=key), key=lambda one: one["model"])
    assert (embedded["model"], embedded["requests"], embedded["tokens"]) == ("metered", 5, sum(used))
    assert written["prompt_tokens"] == whole.prompt_tokens + parts.prompt_tokens
    assert written["completion_tokens"] == whole.completion_tokens + parts.completion_tokens
    assert {one["key_name"] for one in (embedded, written)} == {"counted"}
    served.platform.http.delete(f"/api/v1/keys/{key}").raise_for_status()
    assert tokens_of(served, "counted", group="day") == sum(used) + whole.total_tokens + parts.total_tokens


def test_a_budget_is_spent_in_openais_words_and_raised(served):
    key, client = made(served, "limited", budget=60)
    used, refusal = spend(client)
    assert (refusal.status_code, refusal.code, refusal.type) == (
        429,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert "60 a day" in refusal.message
    assert 0 < used <= 60
    assert 0 < int(refusal.response.headers["retry-after"]) <= 86_400
    with pytest.raises(openai.RateLimitError, match="budget"):
        client.completions.create(model="written", prompt="the", max_tokens=60, stream=True)
    wait_until(lambda: tokens_of(served, key) == used, 10, "the report")
    view = served.platform.get(f"keys/{key}")
    assert (view["budget"], view["used_today"]) == (60, used)
    change(served, key, 10_000)
    wait_until(lambda: _works(client), 10, "the new budget")
    change(served, key, 1)
    wait_until(lambda: not _works(client), 10, "the smaller budget")
    change(served, key, None)
    wait_until(lambda: _works(client), 10, "no budget")


def _works(client):
    try:
        return embed(client) > 0
    except openai.RateLimitError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_gateway_that_is_started_again_counts_nothing_twice(served, number):
    key, client = made(served, f"restarted-{number}", budget=80)
    used, _ = spend(client)
    if number == signal.SIGKILL:  # what it counted in its last second is lost with it
        wait_until(lambda: tokens_of(served, key) == used, 10, "the report")
    before = served.platform.kill("gateway", number)
    wait_until(lambda: served.platform.pids().get("gateway", before) != before, 20, "another gateway")
    wait_until(lambda: _answers(client), 20, "an answer")
    wait_until(lambda: tokens_of(served, key) == used, 10, "the last report")
    more, refusal = spend(client)
    assert refusal.code == "insufficient_quota"
    used += more
    assert used <= 80
    wait_until(lambda: tokens_of(served, key) == used, 10, "the next report")


def _answers(client):
    """Whether the new gateway serves: listing needs no tokens."""
    try:
        return "metered" in {model.id for model in client.models.list()}
    except (openai.APIConnectionError, openai.InternalServerError):
        return False


def test_a_batch_uses_the_budget_of_the_key_that_made_it(served):
    key, client = made(served, "batched", budget=10_000)
    body = {"model": "metered", "input": TEXT}
    lines = b"".join(
        json.dumps({"custom_id": str(n), "method": "POST", "url": "/v1/embeddings", "body": body}).encode()
        + b"\n"
        for n in range(10)
    )
    batch = ended(client, begin(client, lines, endpoint="/v1/embeddings").id)
    assert batch.request_counts.completed == 10
    one = embed(client)
    wait_until(lambda: tokens_of(served, key) == 11 * one, 10, "reports")
    assert usage(served, key=key, group="key")[0]["requests"] == 11


@pytest.fixture(scope="module")
def guests(served):
    served.platform.post("tenants", {"name": "guests"})
    return "guests"


def test_another_tenant_has_nothing_of_ours_but_what_is_shared(served, guests):
    key, client = made(served, "guest", guests, scopes=["predict", "metrics"])
    assert list(client.models.list()) == []
    with pytest.raises(openai.NotFoundError):
        embed(client)
    share = "/api/v1/deployments/metered"
    served.platform.http.patch(share, json={"serving": {"shared": True}}).raise_for_status()
    wait_until(lambda: [model.id for model in client.models.list()] == ["metered"], 10, "what is shared")
    used = sum(embed(client) for _ in range(3))
    wait_until(lambda: tokens_of(served, key, tenant=guests) == used, 10, "the report")
    assert usage(served, key=key) == []
    assert [k["name"] for k in served.platform.get("keys", tenant=guests)["items"]] == ["guest"]
    assert "guest" not in [k["name"] for k in served.platform.get("keys")["items"]]
    metrics = httpx.get(
        f"{served.url}/metrics", headers={"Authorization": f"Bearer {client.api_key}"}, trust_env=False
    )
    assert metrics.status_code == 200
    assert "written" not in metrics.text
    assert "modelyard_requests_in_flight" not in metrics.text
    served.platform.http.patch(share, json={"serving": {"shared": None}}).raise_for_status()
    wait_until(lambda: list(client.models.list()) == [], 10, "what is shared no more")
    with pytest.raises(openai.NotFoundError):
        embed(client)


def test_an_admin_of_another_tenant_manages_that_one_alone(served, guests):
    made_key = served.platform.post(f"keys?tenant={guests}", {"name": "boss", "scopes": ["admin"]})
    with httpx.Client(
        base_url=served.platform.config.control_url,
        headers={"Authorization": f"Bearer {made_key['key']}"},
        trust_env=False,
    ) as http:
        mine = http.post("/api/v1/keys", json={"name": "mine"}).json()
        assert http.get(f"/api/v1/keys/{mine['id']}").status_code == 200
        assert served.platform.http.get(f"/api/v1/keys/{mine['id']}").status_code == 404
        assert http.get("/api/v1/deployments").json()["items"] == []
        assert http.get("/api/v1/deployments/metered").status_code == 404
        assert http.get("/api/v1/status").json()["processes"] == []
        for path in ("keys", "usage"):
            for tenant in ("default", "nobody"):
                assert http.get(f"/api/v1/{path}", params={"tenant": tenant}).status_code == 403
        assert http.get("/api/v1/keys", params={"tenant": guests}).status_code == 200
        for method, path in (("GET", "tenants"), ("POST", "tenants"), ("DELETE", "tenants/guests")):
            sent = http.request(method, f"/api/v1/{path}", json={"name": "x"} if method == "POST" else None)
            assert sent.status_code == 403, path
