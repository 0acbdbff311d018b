"""Admission, routing and the answers that need no model."""

import json

import httpx
import pytest

from live_models import POISON
from live_serving import TABLE
from waiting import wait_until


def bench(work=0.0, index=0.0):
    return {"table": {"work": [work], "index": [index]}}


@pytest.fixture
def client(gateway):
    with httpx.Client(
        base_url=gateway.url, headers={"Authorization": "Bearer key-predict"}, timeout=20
    ) as client:
        yield client


KEYED = [
    ("GET", "/v2"),
    ("GET", "/v2/models"),
    ("GET", "/v2/models/table"),
    ("GET", "/v2/models/table/ready"),
    ("POST", "/v2/models/table/infer"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/table/load"),
    ("POST", "/v2/repository/models/table/unload"),
    ("POST", "/models/table"),
    ("POST", "/models/table/pipeline/tabular-classification"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/table"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/images/generations"),
    ("POST", "/models/table/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v1/audio/translations"),
    ("POST", "/v1/responses"),
    ("GET", "/metrics"),
]
OPEN = [("GET", "/health"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready")]


def shape_of(path):
    return "object" if path.startswith(("/v1", "/metrics")) or "/v1/" in path else "text"


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("Basic abc", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        ("Bearer key-expired", 401),
        ("key-admin", 401),
    ],
)
def test_without_a_good_key_nothing_is_told(gateway, method, path, authorization, status):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = httpx.request(
        method, gateway.url + path, headers=headers, json=TABLE if method == "POST" else None
    )
    assert answer.status_code == status
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"]
    error = answer.json()["error"]
    assert isinstance(error, dict if shape_of(path) == "object" else str)
    assert "table" not in json.dumps(error)


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_a_key_of_another_scope_is_forbidden(gateway, method, path):
    key = "key-predict" if path == "/metrics" else "key-metrics"
    answer = httpx.request(method, gateway.url + path, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_health_is_open(gateway, method, path):
    assert httpx.request(method, gateway.url + path).status_code == 200


def test_every_path_of_every_dialect_is_classified():
    from modelyard.dialects.huggingface import _TABLE as huggingface
    from modelyard.dialects.open_inference import _TABLE as open_inference
    from modelyard.dialects.openai.protocol import _TABLE as openai

    operations = [
        o for table in (huggingface, open_inference, openai) for m in table.values() for o in m.values()
    ]
    assert {o.name for o in operations if o.access == "open"} == {"live", "ready"}
    assert len(operations) == len(KEYED) - 1 + 2  # without /metrics, with the two open ones


@pytest.mark.parametrize("path", ["/v2/models/table/infer", "/models/table"])
def test_another_tenants_model_is_not_found(gateway, path):
    answer = httpx.post(gateway.url + path, headers={"Authorization": "Bearer key-other"}, json=TABLE)
    assert answer.status_code == 404
    listed = httpx.get(gateway.url + "/v1/models", headers={"Authorization": "Bearer key-other"})
    assert listed.json() == {"object": "list", "data": []}


def test_lists(client):
    names = ["bench", "pictures", "table"]
    assert client.get("/v2/models").json() == {"models": names}
    data = client.get("/v1/models").json()["data"]
    assert data[0] == {"id": "bench", "object": "model", "created": 1, "owned_by": "default"}
    assert [d["id"] for d in data] == names
    assert client.get("/v1/models/table").json()["id"] == "table"
    index = client.post("/v2/repository/index", json={"ready": True}).json()
    assert [(i["name"], i["version"], i["state"]) for i in index] == [
        ("bench", "1", "READY"),
        ("pictures", "1", "READY"),
        ("table", "7", "READY"),
    ]
    assert client.post("/v2/repository/index").status_code == 200


def test_metadata(client):
    server = client.get("/v2").json()
    assert server["name"] == "modelyard"
    assert "binary_tensor_data" in server["extensions"]
    for path in ("/v2/models/table", "/v2/models/table/versions/7"):
        found = client.get(path).json()
        assert found["versions"] == ["7"]
        assert found["platform"] == "onnx"
        assert found["inputs"][0] == {"name": "a", "datatype": "FP64", "shape": [-1]}
        assert found["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]


def test_load_and_unload_of_what_is_deployed(client):
    assert client.post("/v2/repository/models/table/load").status_code == 200
    unload = client.post("/v2/repository/models/table/unload")
    assert unload.status_code == 400
    assert "owner" in unload.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/nothing/ready", 404),
        ("POST", "/v2/models/nothing/infer", 404),
        ("POST", "/v2/models/table/versions/8/infer", 404),
        ("GET", "/v2/models/table/versions/8", 404),
        ("POST", "/v2/repository/models/nothing/load", 404),
        ("POST", "/models/table/pipeline/translation", 404),
        ("POST", "/models/nothing", 404),
        ("GET", "/v1/models/nothing", 404),
        ("POST", "/v1/chat/completions", 400),  # its body names no model
        ("POST", "/v1/images/edits", 404),
        ("GET", "/v2/systemsharedmemory/status", 404),
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("POST", "/v1/models", 405),
        ("GET", "/models/table", 405),
        ("POST", "/metrics", 405),
    ],
)
def test_what_is_not_there_in_the_shape_of_its_dialect(client, method, path, status):
    answer = client.request(method, path, json=TABLE if method == "POST" else None)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert isinstance(error, str if path.startswith(("/v2", "/models/")) else dict)


def test_versions_by_name(client):
    for path in ("/v2/models/table/infer", "/v2/models/table/versions/7/infer"):
        assert client.post(path, json=TABLE).json()["model_version"] == "7"


def test_both_dialects_give_one_answer(client):
    one = client.post("/v2/models/table/infer", json=TABLE).json()["outputs"][0]["data"]
    two = client.post("/models/table", json={"table": {"a": [1.0], "b": [2.0]}}).json()[0]
    assert sorted(one, reverse=True) == pytest.approx([a["score"] for a in two], abs=1e-6)


def test_a_replicas_error_reaches_the_caller_in_shape_and_the_log(client, gateway):
    for path, body in (("/v2/models/table/infer", {"inputs": []}), ("/models/bench", bench(index=POISON))):
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        assert isinstance(answer.json()["error"], str)
        logged = f'"request_id": "{answer.headers["x-request-id"]}"'
        wait_until(lambda logged=logged: logged in gateway.output, 2)


def test_a_deadline_of_the_caller_and_of_the_route(client):
    late = client.post("/models/bench", json=bench(work=9000), headers={"Modelyard-Timeout": "0.2"})
    assert (late.status_code, late.elapsed.total_seconds() < 1.2) == (504, True)
    none_left = client.post("/models/bench", json=bench(), headers={"Modelyard-Timeout": "0"})
    assert none_left.status_code == 504
    for wrong in ("x", "-1", "nan", "1e99", ""):
        assert (
            client.post("/models/bench", json=bench(), headers={"Modelyard-Timeout": wrong}).status_code
            == 400
        )
    assert client.post("/models/bench", json=bench(), headers={"Modelyard-Timeout": "1e5"}).status_code == 200


def test_past_the_queue_callers_are_told_to_come_again(site, gateway):
    from concurrent.futures import ThreadPoolExecutor

    def ask(_):
        with httpx.Client(
            base_url=gateway.url, headers={"Authorization": "Bearer key-predict"}, timeout=20
        ) as c:
            return c.post("/models/bench", json=bench(work=1500))

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(40)))
    statuses = [a.status_code for a in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 16  # max_queue
    busy = next(a for a in answers if a.status_code == 503)
    assert busy.headers["retry-after"] == "1"
    assert "full" in busy.json()["error"]


def test_all_bodies_together_are_bounded(site, gateway):
    """Twelve callers send 4 MiB less a byte each, slowly: the gateway keeps 16 MiB and refuses the rest."""
    from live_serving import read_all

    size = (4 << 20) - 1
    key = "Authorization: Bearer key-predict"
    head = f"POST /models/bench HTTP/1.1\r\nHost: x\r\n{key}\r\nContent-Length: {size}\r\n\r\n"
    callers = [gateway.connect() for _ in range(12)]
    for s in callers:
        s.sendall(head.encode() + b" " * (size - 1))
    answers = []
    for s in callers:
        s.sendall(b" ")
        s.shutdown(1)
        answers.append(read_all(s))
        s.close()
    statuses = [int(a.split()[1]) for a in answers if a]
    assert 503 in statuses
    assert set(statuses) <= {400, 503}
