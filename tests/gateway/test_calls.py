"""Models that generate, through a real gateway and real replicas with an engine whose pace is known."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from live_serving import KEYS, Control, LiveGateway, route, snapshot
from modelyard.types.route import KeyGrant, Serving
from talker import CONTEXT, TalkingReplica
from waiting import wait_until

pytestmark = pytest.mark.slow

KEYS |= {
    "key-batch": KeyGrant(id="6", tenant="default", scopes=("predict",), priority="batch"),
    "key-poor": KeyGrant(id="7", tenant="default", scopes=("predict",), budget=60),
}
TALK = "text-generation"
WORDS = " a" * 10


class Site:
    def __init__(self, folder):
        self.folder = folder
        self.replicas = {
            "talk": TalkingReplica(folder / "talk"),
            "slow": TalkingReplica(folder / "slow", name="slow", slots=2, pace=0.05),
            "kept": TalkingReplica(folder / "kept", name="kept", pace=0.02),
            "shared": TalkingReplica(folder / "shared", name="shared"),
            "twin-a": TalkingReplica(folder / "twin-a", name="twin"),
            "twin-b": TalkingReplica(folder / "twin-b", name="twin"),
        }
        for replica in self.replicas.values():
            replica.ready()
        r = self.replicas
        self.routes = [
            route("talk", TALK, r["talk"].serves()),
            route("slow", TALK, r["slow"].serves(), max_queue=16),
            route("late", TALK, r["slow"].serves(), serving=Serving(first_token=0.001)),
            route("kept", TALK, r["kept"].serves(), serving=Serving(cache=60.0)),
            route("shared", TALK, r["shared"].serves(), serving=Serving(shared=True)),
            route("away", TALK, serving=Serving(fallback="talk")),
            route("lost", TALK),
            route("twin", TALK, r["twin-a"].serves("1", 1.0, r["twin-b"])),
        ]
        self.control = Control(snapshot(*self.routes))
        self.gateway = LiveGateway(folder / "home", self.control.url).ready()
        wait_until(lambda: self.metric("modelyard_replicas_ready", 'model="talk"') == 1, 20, "replicas")
        wait_until(lambda: self.metric("modelyard_replicas_ready", 'model="twin"') == 2, 20, "replicas")

    def client(self, key="key-predict"):
        return openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=key, max_retries=0, timeout=30)

    def metric(self, name, labels=""):
        text = httpx.get(f"{self.gateway.url}/metrics", headers={"Authorization": "Bearer key-metrics"}).text
        found = [line for line in text.splitlines() if line.startswith(name + "{") and labels in line]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def running(self, model):
        return self.metric("vllm:num_requests_running", f'model_name="{model}"')

    def stop(self):
        self.gateway.stop()
        self.control.stop()
        for replica in self.replicas.values():
            replica.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("calls"))
    yield site
    site.stop()


@pytest.fixture
def client(site):
    with site.client() as client:
        yield client
    assert site.gateway.child.poll() is None


def raw(**body):
    data = json.dumps(body).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-predict\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def streamed(stream):
    return "".join(chunk.choices[0].text for chunk in stream if chunk.choices)


def test_completions_whole_and_in_pieces(client):
    whole = client.completions.create(model="talk", prompt="one two three", max_tokens=5)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (" one two three one two", "length")
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (3, 5)
    chunks = list(
        client.completions.create(
            model="talk",
            prompt="one two stop",
            max_tokens=9,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert streamed(chunks) == " one two"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 2)
    assert len({c.id for c in chunks}) == 1


def test_pieces_come_as_they_are_made(site):
    """The first one long before the last: nothing on the way waits for more."""
    with site.client() as client:
        times = [
            time.monotonic()
            for c in client.completions.create(model="slow", prompt="a b", max_tokens=8, stream=True)
            if c.choices
        ]
    assert times[-2] - times[0] > 0.2


def test_chat_with_its_template(client):
    answer = client.chat.completions.create(
        model="talk", messages=[{"role": "user", "content": "hello there"}], max_tokens=4, logprobs=True
    )
    assert answer.choices[0].message.content == " user: hello there assistant:"
    assert [p.token for p in answer.choices[0].logprobs.content] == [
        " user:",
        " hello",
        " there",
        " assistant:",
    ]
    pieces = list(
        client.chat.completions.create(
            model="talk", messages=[{"role": "user", "content": "hello"}], max_tokens=2, stream=True
        )
    )
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(p.choices[0].delta.content or "" for p in pieces) == " user: hello"


def test_several_answers_each_with_its_seed_and_one_prompt_counted(client):
    answer = client.completions.create(model="talk", prompt="x", n=3, seed=5, max_tokens=2)
    assert [c.text for c in answer.choices] == [" x5 x5", " x6 x6", " x7 x7"]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 6)
    several = client.completions.create(model="talk", prompt=["a b", "c"], max_tokens=1)
    assert [c.text for c in several.choices] == [" a", " c"]
    assert several.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "nothing"}, 404, None),
        ({"n": 10**9}, 400, "n"),
        ({"best_of": 10**9}, 400, "best_of"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": -1}, 400, "max_tokens"),
        ({"max_tokens": 10**12}, 400, "max_tokens"),
        ({"max_tokens": "5"}, 400, "max_tokens"),
        ({"max_tokens": CONTEXT + 1}, 400, "max_tokens"),
        ({"max_tokens": True}, 400, "max_tokens"),
        ({"temperature": -1}, 400, "temperature"),
        ({"temperature": 10**9}, 400, "temperature"),
        ({"prompt": ["x"] * 100_000}, 400, "prompt"),
        ({"prompt": "x " * 5_000_000}, 400, None),
        ({"prompt": [1, "x"]}, 400, "prompt"),
        ({"prompt": []}, 400, "prompt"),
        ({"logprobs": 10**6}, 400, "logprobs"),
        ({"stop": ["x"] * 100_000}, 400, "stop"),
        ({"stop": [""]}, 400, "stop[0]"),
        ({"logit_bias": {"5": 1}}, 400, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"suffix": "x"}, 400, "suffix"),
        ({"response_format": {"type": "xml"}}, 400, "response_format.type"),
    ],
)
def test_bad_completions(site, client, fields, status, param):
    body = {"model": "talk", "prompt": "x", **fields}
    answer = httpx.post(
        f"{site.gateway.url}/v1/completions", json=body, headers={"Authorization": "Bearer key-predict"}
    )
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert "/" not in error["message"]
    assert client.completions.create(model="talk", prompt="x", max_tokens=1).choices[0].text == " x"


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def schema(value):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": value}}}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": "x"}] * 100_000},
        {"messages": [{"role": "king", "content": "x"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1"}}]}
            ]
        },
        {"messages": "x"},
        {"messages": [{"role": "assistant", "tool_calls": [{"nonsense": 1}]}]},
        {"top_logprobs": 3},
        {"logprobs": True, "top_logprobs": 6},
        schema({"type": "nonsense"}),
        schema(nested(60)),
        schema({"type": "string", "pattern": "^(a+)+$"}),
        schema({"type": "array", "maxItems": 10**9}),
        schema("x"),
        {"tool_choice": "required"},
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        {
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "g"}},
        },
        {"modalities": ["audio"]},
    ],
)
def test_bad_chats(site, client, fields):
    body = {"model": "talk", "messages": [{"role": "user", "content": "x"}], **fields}
    started = time.monotonic()
    answer = httpx.post(
        f"{site.gateway.url}/v1/chat/completions",
        json=body,
        headers={"Authorization": "Bearer key-predict"},
        timeout=20,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert time.monotonic() - started < 10
    assert client.completions.create(model="talk", prompt="x", max_tokens=1).choices[0].text == " x"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b'"x"',
        b'{"model": "talk", "prompt": "x", "temperature": NaN}',
        b'{"model": "talk", "prompt": "x", "temperature": 1e400}',
        b'{"model": "talk", "prompt": "x"',
        b'{"model": "talk", "prompt": "x", "seed": ' + b"9" * 5000 + b"}",
        b'{"model": "talk", "prompt": "\\ud800"}',
        b'{"model": "talk", "prompt": "x", "metadata": ' + b"[" * 250_000 + b"]" * 250_000 + b"}",
        '{"model": "talk", "prompt": "x"}'.encode("utf-16"),
    ],
)
def test_what_is_no_request(site, client, body):
    headers = {"Authorization": "Bearer key-predict", "Content-Type": "application/json"}
    answer = httpx.post(f"{site.gateway.url}/v1/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert client.completions.create(model="talk", prompt="x", max_tokens=1).choices[0].text == " x"


def test_a_caller_that_hangs_up_frees_its_slot(site):
    def hang_up(stream):
        with socket.create_connection(("127.0.0.1", site.gateway.port), 10) as s:
            s.sendall(raw(model="slow", prompt="a b", max_tokens=200, stream=stream))
            wait_until(lambda: site.running("slow") == 1, 5, "the request to run")
            if stream:
                s.recv(100)
        wait_until(lambda: site.running("slow") == 0, 5, "the slot to come free")  # 200 words are 10 seconds

    hang_up(stream=True)
    hang_up(stream=False)
    with site.client() as client, ThreadPoolExecutor(2) as pool:  # and the engine has stopped
        asked = [
            pool.submit(client.completions.create, model="slow", prompt="a", max_tokens=2) for _ in range(2)
        ]
        assert [a.result().choices[0].text for a in asked] == [" a a"] * 2


def test_no_more_run_than_there_are_slots_and_the_queue_is_bounded(site):
    answers = []

    def ask():
        with site.client() as client:
            try:
                answers.append(
                    client.completions.create(model="slow", prompt="a", max_tokens=10).choices[0].text
                )
            except openai.APIStatusError as error:
                answers.append(error.status_code)

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, site.running("slow"))
        threads[0].join(0.02)
        for thread in threads:
            thread.join(0.001)
    assert most == 2
    assert answers.count(WORDS) >= 16
    assert set(answers) <= {WORDS, 503}
    assert 503 in answers


def test_a_first_token_that_would_come_too_late_is_refused_at_once(site):
    with site.client() as client, pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model="late", prompt="word " * 200, max_tokens=1)
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert "too late" in caught.value.body["message"]


def test_a_fallback_answers_for_one_that_is_away(client):
    assert client.completions.create(model="away", prompt="x", max_tokens=1).choices[0].text == " x"
    with pytest.raises(openai.InternalServerError) as caught:
        client.completions.create(model="lost", prompt="x", max_tokens=1)
    assert caught.value.status_code == 503


def test_the_same_request_is_answered_from_the_cache(site, client):
    asked = {"model": "kept", "prompt": "one two", "max_tokens": 4, "temperature": 0}
    first = client.completions.with_raw_response.create(**asked)
    second = client.completions.with_raw_response.create(**asked)
    assert "x-modelyard-cache" not in first.headers
    assert second.headers["x-modelyard-cache"] == "hit"
    assert first.content == second.content
    other = site.client("key-other")
    with other, pytest.raises(openai.NotFoundError):
        other.completions.create(**asked)
    warm = client.completions.with_raw_response.create(**{**asked, "temperature": 1.0})
    assert "x-modelyard-cache" not in warm.headers
    streams = [streamed(client.completions.create(**asked, stream=True)) for _ in range(2)]
    assert streams == [" one two one two"] * 2


def test_the_same_requests_at_once_run_once(site):
    before = site.replicas["kept"].probe().statistics.rows

    def ask(_):
        with site.client() as client:
            return streamed(
                client.completions.create(
                    model="kept", prompt="all alike", max_tokens=20, temperature=0, stream=True
                )
            )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert set(answers) == {" all alike" * 10}
    assert site.replicas["kept"].probe().statistics.rows == before + 1


def test_who_reads_along_is_not_left_alone_by_who_asked_first(site):
    body = {"model": "kept", "prompt": "first leaves", "max_tokens": 40, "temperature": 0, "stream": True}
    headers = {"Authorization": "Bearer key-predict"}
    url = f"{site.gateway.url}/v1/completions"
    with httpx.Client(timeout=20) as one, httpx.Client(timeout=20) as other:
        with one.stream("POST", url, json=body, headers=headers) as first:
            next(first.iter_bytes())
            reader = other.build_request("POST", url, json=body, headers=headers)
            second = other.send(reader, stream=True)
        assert b"".join(second.iter_bytes()).endswith(b"data: [DONE]\n\n")


def test_another_tenant_calls_only_what_is_shared(site):
    with site.client("key-other") as client:
        assert [m.id for m in client.models.list()] == ["shared"]
        assert client.completions.create(model="shared", prompt="x", max_tokens=1).choices[0].text == " x"
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="talk", prompt="x")


def test_a_budget_is_reserved_and_settled(site):
    with site.client("key-poor") as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(model="talk", prompt="x", max_tokens=100)
        assert caught.value.code == "insufficient_quota"
        for _ in range(2):
            client.completions.create(model="talk", prompt="stop", max_tokens=40)  # reserves 40, uses 1
        client.completions.create(model="talk", prompt="x", max_tokens=50)
        with pytest.raises(openai.RateLimitError):
            client.completions.create(model="talk", prompt="x", max_tokens=20)


def test_a_replica_that_dies_under_way_and_one_whose_engine_fails(site):
    with site.client() as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.completions.create(model="twin", prompt="fail", max_tokens=4)
        assert caught.value.status_code == 503
        dead = [site.replicas["twin-a"], site.replicas["twin-b"]]
        with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
            streamed(client.completions.create(model="twin", prompt="a a die", max_tokens=9, stream=True))
        wait_until(lambda: sum(r.child.poll() is not None for r in dead) == 1, 10, "one to die")
        answer = client.completions.create(model="twin", prompt="still here", max_tokens=2)
        assert answer.choices[0].text == " still here"


def test_prompts_with_one_beginning_go_to_one_replica(site, tmp_path):
    replicas = [TalkingReplica(tmp_path / f"p{k}", name="prefix").ready() for k in range(2)]
    try:
        routes = [*site.routes, route("prefix", TALK, replicas[0].serves("1", 1.0, replicas[1]))]
        site.control.publish(snapshot(*routes))
        wait_until(lambda: site.metric("modelyard_replicas_ready", 'model="prefix"') == 2, 20, "replicas")
        with site.client() as client:
            for number in range(6):
                beginning = "the same long beginning of every prompt of one caller " * 10
                client.completions.create(model="prefix", prompt=f"{beginning}{number}", max_tokens=1)
            counts = sorted(r.probe().statistics.rows for r in replicas)
            assert counts == [0, 6]
            for number in range(12):
                client.completions.create(model="prefix", prompt=f"{number} " * 80, max_tokens=1)
        assert min(r.probe().statistics.rows for r in replicas) >= 0
    finally:
        site.control.publish(snapshot(*site.routes))
        for replica in replicas:
            replica.stop()


def test_what_a_key_says_of_a_batch_waits_for_what_is_live(site):
    order = []

    def ask(key, number):
        with site.client(key) as client:
            client.completions.create(model="slow", prompt="a", max_tokens=6)
            order.append(key)

    batch = [threading.Thread(target=ask, args=("key-batch", k)) for k in range(6)]
    for thread in batch:
        thread.start()
    wait_until(
        lambda: site.metric("vllm:num_requests_waiting", 'model_name="slow"') >= 4, 5, "batches to wait"
    )
    live = [threading.Thread(target=ask, args=("key-predict", k)) for k in range(3)]
    for thread in live:
        thread.start()
    for thread in batch + live:
        thread.join(20)
    assert len(order) == 9
    last_live = max(k for k, key in enumerate(order) if key == "key-predict")
    assert last_live <= 5


def test_many_hang_ups_leave_nothing(site):
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", site.gateway.port), 10) as s:
            s.sendall(raw(model="talk", prompt="a b", max_tokens=100, stream=True))
    wait_until(lambda: site.running("talk") == 0, 20, "all to end")
    wait_until(lambda: site.metric("vllm:num_requests_waiting", 'model_name="talk"') == 0, 20, "all to end")
    with site.client() as client:
        assert client.completions.create(model="talk", prompt="x", max_tokens=1).choices[0].text == " x"
