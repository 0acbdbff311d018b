"""Who may call which route: generated from the router, so that a new route fails here until it is classified."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import httpx
import pytest

from control_seed import add_model, admin_key
from modelyard.cluster.secret import gateway_token
from modelyard.control.app import behind_door, create_app
from modelyard.control.bootstrap import open_platform
from modelyard.control.platform import Platform
from modelyard.control.routes import internal
from modelyard.control.services import keys
from modelyard.home import Home
from modelyard.store.tables import Key

OPEN = {("GET", "/api/v1/health"), ("GET", "/openapi.json")}
TRACK = {
    ("POST", "/api/v1/runs/external"),
    ("POST", "/api/v1/runs/{run}/metrics"),
    ("POST", "/api/v1/runs/{run}/end"),
    ("GET", "/api/v1/runs/{run}/artifacts"),
    ("GET", "/api/v1/runs/{run}/artifacts/files/{path}"),
    ("PUT", "/api/v1/runs/{run}/artifacts/{path}"),
}
"""What a key with the scope `track` may do too; MLflow's own paths are in tests/control/mlflow/test_access.py."""
TOKEN = {
    ("GET", "/internal/snapshots"),
    ("POST", "/internal/activity"),
    ("POST", "/internal/wake"),
    ("POST", "/internal/usage"),
    ("POST", "/internal/runs/{run}/events"),
}
ADMIN = {
    ("GET", "/api/v1/status"),
    ("POST", "/api/v1/uploads"),
    ("POST", "/api/v1/uploads/sessions"),
    ("GET", "/api/v1/uploads/sessions/{session}"),
    ("PUT", "/api/v1/uploads/sessions/{session}"),
    ("DELETE", "/api/v1/uploads/sessions/{session}"),
    ("POST", "/api/v1/uploads/sessions/{session}/finish"),
    ("GET", "/api/v1/datasets"),
    ("POST", "/api/v1/datasets"),
    ("GET", "/api/v1/datasets/{name}"),
    ("GET", "/api/v1/datasets/{name}/versions/{version}"),
    ("DELETE", "/api/v1/datasets/{name}/versions/{version}"),
    ("GET", "/api/v1/datasets/{name}/versions/{version}/sample"),
    ("GET", "/api/v1/datasets/{name}/versions/{version}/files/{file}"),
    ("GET", "/api/v1/runs"),
    ("POST", "/api/v1/runs"),
    ("GET", "/api/v1/runs/{run}"),
    ("GET", "/api/v1/runs/{run}/metrics"),
    ("GET", "/api/v1/runs/{run}/log"),
    ("POST", "/api/v1/runs/{run}/cancel"),
    ("POST", "/api/v1/runs/{run}/retry"),
    ("GET", "/api/v1/models"),
    ("POST", "/api/v1/models/imports"),
    ("GET", "/api/v1/models/{name}/versions/{version}/bundle"),
    ("GET", "/api/v1/models/{name}/versions/{version}/card"),
    ("PUT", "/api/v1/models/{name}/versions/{version}/card"),
    ("GET", "/api/v1/models/{name}"),
    ("GET", "/api/v1/models/{name}/versions/{version}"),
    ("DELETE", "/api/v1/models/{name}/versions/{version}"),
    ("GET", "/api/v1/models/{name}/versions/{version}/reports/{report}/files/{file}"),
    ("GET", "/api/v1/models/{name}/versions/{version}/files/{file}"),
    ("PUT", "/api/v1/models/{name}/aliases/{alias}"),
    ("DELETE", "/api/v1/models/{name}/aliases/{alias}"),
    ("GET", "/api/v1/deployments"),
    ("POST", "/api/v1/deployments"),
    ("GET", "/api/v1/deployments/{name}"),
    ("PATCH", "/api/v1/deployments/{name}"),
    ("DELETE", "/api/v1/deployments/{name}"),
    ("GET", "/api/v1/environments"),
    ("POST", "/api/v1/environments/collect"),
    ("GET", "/api/v1/environments/{digest}"),
    ("DELETE", "/api/v1/environments/{digest}"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("GET", "/api/v1/keys/{key}"),
    ("PATCH", "/api/v1/keys/{key}"),
    ("DELETE", "/api/v1/keys/{key}"),
    ("GET", "/api/v1/usage"),
    ("GET", "/api/v1/tenants"),
    ("POST", "/api/v1/tenants"),
    ("DELETE", "/api/v1/tenants/{name}"),
}


@dataclass
class Api:
    """The application behind its door, asked without a socket."""

    platform: Platform

    def __post_init__(self) -> None:
        self.app = create_app(self.platform)
        self.door = behind_door(self.app)
        self.key = admin_key(self.platform)

    def ask(self, method: str, path: str, key: str | None = "", **options: object) -> httpx.Response:
        """`key` "" is the admin's, None is none."""
        headers = dict(options.pop("headers", {}))  # type: ignore[call-overload]
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.key}"

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.door)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8801") as client:
                return await client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]

        return anyio.run(once)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    home = Home(folder / "home")
    home.create()
    platform = open_platform(home)
    add_model(platform, folder)
    yield Api(platform)
    platform.database.close()


def routes(api: Api) -> set[tuple[str, str]]:
    """Every route that answers: those of the schema, and those that are left out of it."""
    paths = api.app.openapi()["paths"]
    known = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    hidden = {(m, r.path) for r in internal.router.routes for m in r.methods}  # type: ignore[attr-defined]
    return known | {("GET", "/openapi.json")} | hidden


def filled(path: str) -> str:
    return (
        path.replace("{run}", "run_" + "0" * 26)
        .replace("{key}", "key_" + "0" * 26)
        .replace("{", "")
        .replace("}", "")
    )


def error(response: httpx.Response) -> str:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "request_id"}
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    assert "/tmp" not in response.text
    assert "Traceback" not in response.text
    code: str = body["error"]["code"]
    return code


def test_every_route_is_classified(api: Api) -> None:
    assert routes(api) == OPEN | TOKEN | ADMIN | TRACK


@pytest.fixture(scope="module")
def bad_keys(api: Api) -> list[str | None]:
    """None at all, one that nobody made, a revoked one, an expired one."""
    revoked, expired = (
        keys.create(api.platform, "default", name, ["admin"]) for name in ("revoked", "expired")
    )
    keys.revoke(api.platform, "default", revoked.id)
    with api.platform.database.write() as session:
        session.get_one(Key, expired.id).expires_at = 1.0
    return [None, "yard_" + "x" * 43, revoked.key, expired.key]


@pytest.fixture(scope="module")
def caller_key(api: Api) -> str | None:
    return keys.create(api.platform, "default", "caller", ["predict", "metrics"]).key


@pytest.mark.parametrize(("method", "path"), sorted(ADMIN | TRACK))
def test_only_a_good_key_of_the_right_scope_comes_in(
    api: Api, method: str, path: str, bad_keys: list[str | None], caller_key: str
) -> None:
    for key in bad_keys:
        response = api.ask(method, filled(path), key)
        assert (response.status_code, error(response)) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    response = api.ask(method, filled(path), caller_key)
    assert (response.status_code, error(response)) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path"), sorted(TOKEN))
def test_tokens_are_no_keys(api: Api, method: str, path: str, bad_keys: list[str | None]) -> None:
    events = {"json": {"attempt": 1}} if path.endswith("/events") else {}
    for key in (*bad_keys, ""):
        response = api.ask(method, filled(path), key, **events)
        # A run whose token is not the present attempt's is told to stop, whatever its token is.
        expected = 410 if events and key is not None else 401
        assert response.status_code == expected
        assert error(response) in ("unauthorized", "lease_lost")


@pytest.mark.parametrize(("method", "path"), sorted(OPEN))
def test_what_is_open(api: Api, method: str, path: str) -> None:
    assert api.ask(method, path, None).status_code == 200


@pytest.mark.parametrize(
    "path", ["//api/v1/runs", "/api/v1/health/../runs", "/api/v1/%2e%2e/v1/runs", "/api/v1/runs/", "/docs", "/",
             "/api/v1/health/", "/internal", "/internal/../api/v1/runs", "/API/V1/RUNS", "/api/v1/nothing"],
)  # fmt: skip
def test_no_way_around_the_door(api: Api, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "PUT"):
        assert api.ask(method, path, None).status_code in (401, 404, 405), path
    if path != "/api/v1/health/../runs":  # the client itself takes the dots away
        assert api.ask("GET", path).status_code in (200, 404)


def test_another_method(api: Api) -> None:
    response = api.ask("PUT", "/api/v1/runs")
    assert (response.status_code, error(response)) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil", "192.168.1.1", "[", "a@b"]
)
def test_a_name_that_is_not_ours(api: Api, host: str) -> None:
    response = api.ask("GET", "/api/v1/health", headers={"Host": host})
    assert (response.status_code, error(response)) == (421, "misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8801", "127.0.0.1:1", "127.8.8.8", "[::1]:8801"])
def test_names_that_are_ours(api: Api, host: str) -> None:
    assert api.ask("GET", "/api/v1/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8801", "http://127.0.0.1:9"]
)
def test_a_page_of_another_origin(api: Api, origin: str) -> None:
    response = api.ask("GET", "/api/v1/runs", headers={"Origin": origin})
    assert (response.status_code, error(response)) == (403, "forbidden")
    assert api.ask("GET", "/api/v1/runs", headers={"Origin": "http://127.0.0.1:8801"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"{", b"[" * 250_000, b'{"kind": NaN}', b'{"kind": Infinity}', b'{"a": 1e400}', b'{"a": %s}' % (b"9" * 5000),
     b'{"kind": "\\ud800"}', '{"kind": "train"}'.encode("utf-16"), b'"text"', b"[]", b"true",
     b'{"a":' * 150 + b"1" + b"}" * 150, b'{"kind": "tra', b"\xff"],
)  # fmt: skip
def test_a_body_that_is_no_json(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = api.ask("POST", "/api/v1/runs", content=body, headers=headers)
    assert (response.status_code, error(response)) == (400, "invalid_input")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs", {}),
        ("runs", {"kind": 1}),
        ("runs", {"kind": "train", "tenant": "other"}),
        ("runs", {"kind": "train", "owner": "other"}),
        ("deployments", {"name": "a", "model": "colours", "replicas": True}),
        ("deployments", {"name": "a", "model": "colours", "replicas": "1"}),
        ("deployments", {"name": "a", "model": "colours", "replicas": 10**9}),
        ("deployments", {"name": "a\0", "model": "colours"}),
        ("deployments", {"name": "a", "model": "colours", "role": "admin"}),
        ("keys", {"name": "a", "scopes": ["root"]}),
        ("keys", {"name": "a", "tenant": "other"}),
        ("keys", {"name": "a", "expires_in": -1}),
        ("keys", {"name": "a", "budget": 0}),
        ("keys", {"name": "a", "budget": -1}),
        ("keys", {"name": "a", "budget": 10**16}),
        ("keys", {"name": "a", "budget": "5"}),
        ("keys", {"name": "a", "budget": 1.5}),
        ("keys", {"name": "a", "budget": True}),
        ("keys?tenant=default", {"name": "a", "tenant": "other"}),
        ("tenants", {}),
        ("tenants", {"name": ""}),
        ("tenants", {"name": "A"}),
        ("tenants", {"name": "../a"}),
        ("tenants", {"name": "a", "id": "b"}),
        ("datasets", {"name": "a"}),
        ("datasets", {"name": "a", "builtin": "digits", "options": {"builtin": "wine"}}),
    ],
)
def test_a_body_with_what_does_not_belong_there(api: Api, path: str, body: object) -> None:
    response = api.ask("POST", f"/api/v1/{path}", json=body)
    assert (response.status_code, error(response)) == (400, "invalid_input")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=501", "limit=1000000000", "limit=x", "limit=1.5", "cursor=x", "cursor=",
              "cursor=" + "a" * 401],
)  # fmt: skip
@pytest.mark.parametrize("noun", ["runs", "datasets", "models", "deployments", "keys", "tenants", "usage"])
def test_a_page_that_is_none(api: Api, noun: str, query: str) -> None:
    response = api.ask("GET", f"/api/v1/{noun}?{query}")
    assert (response.status_code, error(response)) == (400, "invalid_input")


@pytest.mark.parametrize(
    "path", ["runs/run_" + "0" * 26, "runs/x", "runs/%00", "models/%00", "models/..%2f..%2fetc",
             "models/" + "a" * 256,
             "datasets/nothing", "deployments/nothing", "keys/x", "models/colours/versions/9",
             "models/colours/versions/1/files/..%2f..%2fsecret",
             "models/colours/versions/1/reports/x/files/report.json"],
)  # fmt: skip
def test_what_is_not_there(api: Api, path: str) -> None:
    response = api.ask("GET", f"/api/v1/{path}")
    assert (response.status_code, error(response)) == (404, "not_found")


def test_too_large_and_not_json(api: Api) -> None:
    big = api.ask(
        "POST", "/api/v1/runs", content=b" " * (2 << 20), headers={"Content-Type": "application/json"}
    )
    assert (big.status_code, error(big)) == (413, "too_large")
    for headers in (
        {"Content-Type": "text/plain"},
        {},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        response = api.ask("POST", "/api/v1/runs", content=b'{"kind": "train"}', headers=headers)
        assert (response.status_code, error(response)) == (415, "unsupported_media_type")


def test_uploads(api: Api) -> None:
    made = api.ask("POST", "/api/v1/uploads?filename=a/b.csv", content=b"a,b\n1,2\n")
    assert made.status_code == 201
    assert made.json()["filename"] == "b.csv"
    assert made.json()["size"] == 8
    pickle = api.ask("POST", "/api/v1/uploads?filename=m.pkl", content=b"\x80\x04.")
    assert (pickle.status_code, error(pickle)) == (422, "format_not_allowed")
    empty = api.ask("POST", "/api/v1/uploads?filename=a.csv", content=b"")
    assert (empty.status_code, error(empty)) == (400, "invalid_input")
    nameless = api.ask("POST", "/api/v1/uploads", content=b"x")
    assert (nameless.status_code, error(nameless)) == (400, "invalid_input")
    packed = api.ask(
        "POST", "/api/v1/uploads?filename=a.csv", content=b"x", headers={"Content-Encoding": "gzip"}
    )
    assert (packed.status_code, error(packed)) == (415, "unsupported_media_type")
    assert list(api.platform.home.temporary.iterdir()) == []


def test_files_come_with_their_digest_and_cannot_run(api: Api) -> None:
    report = api.ask("GET", "/api/v1/models/colours/versions/1/reports/latest/files/report.html")
    assert report.status_code == 200
    assert report.headers["content-type"].startswith("text/html")
    assert "sandbox" in report.headers["content-security-policy"]
    assert "script" not in report.headers["content-security-policy"]
    assert report.headers["x-content-type-options"] == "nosniff"
    model = api.ask("GET", "/api/v1/models/colours/versions/latest/files/model.onnx")
    assert model.headers["etag"].strip('"') == _sha256(model.content)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_aliases_and_versions(api: Api) -> None:
    path = "/api/v1/models/colours/aliases/champion"
    assert api.ask("PUT", path, json={"version": 1}).json() == {"alias": "champion", "version": 1}
    assert api.ask("GET", "/api/v1/models/colours").json()["aliases"] == {"champion": 1}
    response = api.ask("DELETE", "/api/v1/models/colours/versions/@champion")
    assert (response.status_code, error(response)) == (409, "conflict")
    assert api.ask("DELETE", path).status_code == 204
    assert api.ask("DELETE", path).status_code == 404


def test_the_gateways_token(api: Api) -> None:
    assert api.ask("GET", "/internal/snapshots", "x").status_code == 401
    api.platform.closing.set()
    try:
        assert api.ask("GET", "/internal/snapshots", gateway_token(api.platform.secret)).status_code == 200
    finally:
        api.platform.closing.clear()


def test_every_answer_of_the_schema_has_a_shape(api: Api) -> None:
    paths = api.app.openapi()["paths"]
    assert all(m["responses"] for methods in paths.values() for m in methods.values())
    shape = paths["/api/v1/runs"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "RunView" in str(shape)


def test_nothing_of_a_key_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        api.ask("GET", "/api/v1/runs?secret=hidden")
    (line,) = [r.message for r in caplog.records if r.name == "modelyard.access"]
    assert '"status":200' in line
    assert api.key not in caplog.text
    assert "hidden" not in line
