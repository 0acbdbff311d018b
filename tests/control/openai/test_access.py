"""Who may speak OpenAI's files, batches and fine-tuning jobs; generated from the router."""

import httpx
import pytest

from control_seed import add_tenant, admin_key
from modelyard.control.bootstrap import open_platform
from modelyard.control.routes import openai as routes

from .conftest import error_of

pytestmark = pytest.mark.slow

ROUTES = sorted({(m, r.path) for r in routes.router.routes for m in r.methods})
PREDICT = {
    ("GET", "/v1/files"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files/{file}"),
    ("DELETE", "/v1/files/{file}"),
    ("GET", "/v1/files/{file}/content"),
    ("GET", "/v1/batches"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/batches/{batch}"),
    ("POST", "/v1/batches/{batch}/cancel"),
}
TRACK = {
    ("GET", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("GET", "/v1/fine_tuning/jobs/{job}"),
    ("POST", "/v1/fine_tuning/jobs/{job}/cancel"),
    ("GET", "/v1/fine_tuning/jobs/{job}/events"),
    ("GET", "/v1/fine_tuning/jobs/{job}/checkpoints"),
}


LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}'


def filled(path):
    return path.replace("{", "").replace("}", "")


def scope_of(method, path):
    return "predict" if (method, path) in PREDICT else "track"


def test_every_route_is_classified():
    assert set(ROUTES) == PREDICT | TRACK


@pytest.fixture(scope="module")
def keys(site):
    """One for each scope, a revoked one."""
    made = {scope: site.make_key(scope) for scope in ("predict", "track", "metrics", "admin")}
    revoked = site.platform.post("keys", {"name": "k", "scopes": ["admin"]})
    site.platform.http.delete(f"/api/v1/keys/{revoked['id']}").raise_for_status()
    return {**made, "revoked": revoked["key"]}


@pytest.mark.parametrize("door", ["gateway", "control"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_wants_a_key_of_its_scope(site, keys, method, path, door):
    base = site.url if door == "gateway" else site.platform.config.control_url

    def ask(**headers):
        return httpx.request(method, base + filled(path), headers=headers, trust_env=False, timeout=20)

    for headers in (
        {},
        {"Authorization": "Bearer yard_wrong"},
        {"Authorization": f"Bearer {keys['revoked']}"},
    ):
        response = ask(**headers)
        assert error_of(response, 401)["code"] == "unauthorized"
        assert response.headers["www-authenticate"] == "Bearer"
    scope = scope_of(method, path)
    for other in ("predict", "track", "metrics"):
        response = ask(Authorization=f"Bearer {keys[other]}")
        if other != scope:
            assert error_of(response, 403)["code"] == "forbidden"
        else:
            assert response.status_code in (200, 400, 404, 415)
    assert ask(Authorization=f"Bearer {keys['admin']}").status_code in (200, 400, 404, 415)


@pytest.mark.parametrize("path", ["files/x/y", "filesystem", "fine_tuning", "batches/x/y/z"])
def test_what_is_not_spoken_here(site, path):
    assert site.refused("GET", path, 404)["code"] == "not_found"


def test_another_method(site):
    assert site.refused("PUT", "files", 405)["code"] == "method_not_allowed"


@pytest.fixture(scope="module")
def stranger(site):
    """A key of another tenant, made beside the running control as an operator would in its database."""
    platform = open_platform(site.platform.home)
    add_tenant(platform, "other")
    key = admin_key(platform, "other")
    platform.database.close()
    return key


def test_what_another_tenant_has_is_not_there(site, stranger):
    made = site.client.files.create(file=b"x", purpose="user_data")
    for method, path in (("GET", made.id), ("GET", f"{made.id}/content"), ("DELETE", made.id)):
        error_of(
            httpx.request(
                method, f"{site.platform.config.control_url}/v1/files/{path}", trust_env=False,
                headers={"Authorization": f"Bearer {stranger}"},
            ), 404, "file_id",
        )  # fmt: skip
    batch = site.client.batches.create(
        input_file_id=site.client.files.create(file=("a.jsonl", LINE), purpose="batch").id,
        endpoint="/v1/embeddings",
        completion_window="24h",
    )
    for method, path in (("GET", batch.id), ("POST", f"{batch.id}/cancel")):
        error_of(
            httpx.request(
                method, f"{site.platform.config.control_url}/v1/batches/{path}", trust_env=False,
                headers={"Authorization": f"Bearer {stranger}"},
            ), 404, "batch_id",
        )  # fmt: skip
    given = {"input_file_id": batch.input_file_id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    error_of(
        httpx.post(f"{site.platform.config.control_url}/v1/batches", json=given, trust_env=False,
                   headers={"Authorization": f"Bearer {stranger}"}), 404, "input_file_id",
    )  # fmt: skip
    listed = httpx.get(f"{site.platform.config.control_url}/v1/files", trust_env=False,
                       headers={"Authorization": f"Bearer {stranger}"})  # fmt: skip
    assert listed.json()["data"] == []
    assert site.client.files.retrieve(made.id) == made
