"""Who may speak MLflow, and what no body may do."""

import base64

import httpx
import pytest

from modelyard.control.routes import mlflow

pytestmark = pytest.mark.filterwarnings("ignore")  # of the stock client's own

ROUTES = sorted({(m, r.path) for r in mlflow.router.routes for m in r.methods if r.path != "/version"})


def make_key(server, *scopes):
    return server.control.post("keys", {"name": "k", "scopes": list(scopes)})["key"]


def plain(server, method, path, **headers):
    path = path.replace("{model_id}", "m-0").replace("{tag_key}", "k").replace("{path:path}", "x")
    return httpx.request(method, server.url + path, headers=headers, trust_env=False, timeout=20)


def test_there_are_routes():
    assert len(ROUTES) > 55


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_a_key_of_its_scope(server, method, path):
    for headers in ({}, {"Authorization": "Bearer yard_wrong"}, {"Authorization": "Basic ???"},
                    {"Authorization": "Basic " + base64.b64encode(b"me:yard_wrong").decode()}):  # fmt: skip
        response = plain(server, method, path, **headers)
        assert (response.status_code, response.json()["error_code"]) == (401, "UNAUTHENTICATED")
    response = plain(server, method, path, Authorization=f"Bearer {_predict(server)}")
    assert (response.status_code, response.json()["error_code"]) == (403, "PERMISSION_DENIED")


def _predict(server, _made={}):  # noqa: B006  (one for all)
    return (
        _made.setdefault("key", None)
        or _made.update(key=make_key(server, "predict", "metrics"))
        or _made["key"]
    )


def test_a_key_for_tracking_does_that_and_no_more(server):
    key = make_key(server, "track")
    basic = "Basic " + base64.b64encode(f"me:{key}".encode()).decode()
    for authorization in (f"Bearer {key}", basic):
        got = plain(
            server, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", Authorization=authorization
        )
        assert got.status_code == 200
    assert plain(server, "GET", "/api/v1/keys", Authorization=f"Bearer {key}").status_code == 403
    assert plain(server, "GET", "/api/v1/keys", Authorization=basic).status_code == 401
    body = {"name": "n"}
    made = httpx.post(f"{server.url}/api/v1/runs/external", json=body, headers={"Authorization": f"Bearer {key}"},
                      trust_env=False)  # fmt: skip
    assert made.status_code == 201


def test_the_version_is_open(server):
    assert plain(server, "GET", "/version").text == "3.17.2"
    assert server.ask("GET", "/api/3.0/mlflow/server-info").json()["multipart_uploads_enabled"] is False


@pytest.mark.parametrize("path", ["nothing", "runs", "runs/create/x", "traces"])
def test_what_is_not_spoken_here(server, path):
    response = server.ask("POST", path, json={})
    assert (response.status_code, response.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [b"{", b"[" * 200_000, b'{"a":' * 150 + b"1" + b"}" * 150, b"[]", b"true", b'"x"', b'{"name": NaN}', b"\xff",
     b'{"name": "\\ud800"}', '{"name": "x"}'.encode("utf-16")],
)  # fmt: skip
def test_bodies_that_are_no_json(server, body):
    headers = {"Content-Type": "application/json"}
    server.refused(
        "POST", "experiments/create", 400, "INVALID_PARAMETER_VALUE", content=body, headers=headers
    )


def test_sizes_and_kinds_of_bodies(server):
    json = {"Content-Type": "application/json"}
    server.refused(
        "POST", "experiments/create", 413, "INVALID_PARAMETER_VALUE", content=b" " * (5 << 20), headers=json
    )
    server.refused("POST", "experiments/create", 415, "INVALID_PARAMETER_VALUE", content=b"{}",
                   headers={"Content-Type": "text/plain"})  # fmt: skip


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, "x" * 10_000, "\x1b[31m", "a\u202eb"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("experiments/create", "name"),
        ("registered-models/create", "name"),
        ("registered-models/rename", "new_name"),
        ("runs/create", "experiment_id"),
        ("runs/set-tag", "run_id"),
        ("model-versions/create", "source"),
        ("logged-models", "name"),
        ("logged-models/search", "experiment_ids"),
        ("runs/log-inputs", "datasets"),
        ("experiments/search", "view_type"),
    ],
)
def test_any_value_in_any_field_is_answered(server, path, field, value):
    response = server.ask("POST", path, json={field: value})
    assert response.status_code in (200, 400, 404), response.text
    assert response.status_code == 200 or set(response.json()) == {"error_code", "message", "request_id"}
