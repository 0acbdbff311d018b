"""A budget holds when the gateway is killed and started again while control is away."""

import hmac

import httpx
import msgspec
import openai
import pytest

import text_models
from live_serving import SECRET, Control, LiveGateway, Replica, route, snapshot
from modelyard.gateway.reporting import load
from modelyard.home import Home
from modelyard.types.route import KeyGrant
from openai_client import stock_client
from waiting import wait_until

pytestmark = pytest.mark.slow
BUDGET = 60


@pytest.fixture
def vectors(tmp_path):
    text_models.vector_package(tmp_path / "package")
    replica = Replica(tmp_path / "package", "vectors", tmp_path / "vectors").ready()
    yield replica
    replica.stop()


def known(replica):
    """A snapshot with one key, of which control has never heard that anything was used."""
    grant = KeyGrant(id="limited", tenant="default", scopes=("predict",), budget=BUDGET)
    digest = hmac.digest(bytes.fromhex(SECRET), b"key-limited", "sha256").hex()
    whole = snapshot(route("vectors", "feature-extraction", replica.serves()))
    return msgspec.structs.replace(whole, keys={**whole.keys, digest: grant})


def spend(gateway):
    used = 0
    with stock_client(gateway.url, "key-limited") as client:
        for _ in range(BUDGET):
            try:
                used += client.embeddings.create(model="vectors", input="the sum").usage.total_tokens
            except openai.RateLimitError:
                return used
    raise AssertionError("nothing was refused")


def test_what_control_never_heard_is_not_forgotten(tmp_path, vectors):
    control = Control(known(vectors))  # it takes no reports
    gateway = LiveGateway(tmp_path / "home", control.url).ready().serving("vectors")
    try:
        used = spend(gateway)
        assert 0 < used <= BUDGET
        path = Home(tmp_path / "home").gateway_usage
        wait_until(lambda: load(path).used == {"limited": used}, 10, "the file")
    finally:
        gateway.stop()
        control.stop()
    again = LiveGateway(tmp_path / "home", control.url).ready().serving("vectors")
    try:
        assert used + spend(again) <= BUDGET
        body = {"model": "vectors", "input": "the sum " * 40}
        headers = {"Authorization": "Bearer key-limited"}
        refused = httpx.post(f"{again.url}/v1/embeddings", json=body, headers=headers, trust_env=False)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "insufficient_quota")
    finally:
        again.stop()
    assert "Traceback" not in again.output
