"""What one tenant has is not there for another: every route that names something, generated from the router."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from sqlalchemy import select

from control_seed import add_dataset, add_model, add_run, admin_key
from modelyard.control.app import behind_door, create_app
from modelyard.control.bootstrap import open_platform
from modelyard.control.platform import Platform
from modelyard.control.services import keys, tenants
from modelyard.home import Home
from modelyard.store.registry import Deployment, Model, ReportRow

DIGEST = "ab" * 32
ELSEWHERE = ("/api/v1/tenants", "/api/v1/environments", "/version", "/api/v1/health", "/openapi.json")
"""Of the first tenant alone; shared by all and shown by need; open."""
BODIES = {
    ("PATCH", "/api/v1/deployments/{name}"): {"replicas": 2},
    ("PATCH", "/api/v1/keys/{key}"): {"budget": 5},
    ("PUT", "/api/v1/models/{name}/aliases/{alias}"): {"version": 1},
    ("PUT", "/api/v1/models/{name}/versions/{version}/card"): {"text": "x"},
    ("PUT", "/api/v1/uploads/sessions/{session}"): "the part",
    ("POST", "/api/v1/runs/{run}/metrics"): {"points": []},
    ("POST", "/api/v1/runs/{run}/end"): {"state": "succeeded"},
}


class Owner:
    """A platform where the tenant `default` has one of everything, and another tenant's admin asks."""

    def __init__(self, platform: Platform, work: Path) -> None:
        self.platform = platform
        add_model(platform, work)
        add_dataset(platform, work)
        self.app = create_app(platform)
        self.door = behind_door(self.app)
        self.mine = admin_key(platform)
        self.parts = {
            "{run}": add_run(platform),
            "{external}": add_run(platform, state="running", kind="external"),
        }
        self.parts["{key}"] = keys.create(platform, "default", "k", ["predict"]).id
        self.ask("POST", "/api/v1/deployments", self.mine, {"name": "colours", "model": "colours"})
        self.ask("PUT", "/api/v1/models/colours/aliases/champion", self.mine, {"version": 1})
        session = self.ask("POST", "/api/v1/uploads/sessions", self.mine, {"filename": "a.csv", "size": 5})
        self.parts["{session}"] = session.json()["id"]
        with platform.database.read() as opened:
            self.parts["{report}"] = opened.scalars(select(ReportRow.id)).one()
        self.parts |= {"{name}": "colours", "{version}": "1", "{alias}": "champion", "{file}": "data.parquet",
                       "{path}": "a.txt", "{digest}": DIGEST}  # fmt: skip
        tenants.create(platform, "guests")
        self.guest = admin_key(platform, "guests")

    def ask(self, method: str, path: str, key: str, body: object = None) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.door)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8801") as client:
                given = {} if body is None else {"json": body}
                return await client.request(
                    method,
                    path,
                    headers={"Authorization": f"Bearer {key}"},
                    **given,  # type: ignore[arg-type]
                )

        return anyio.run(once)

    def filled(self, path: str) -> str:
        driven = path.endswith(("/metrics", "/end")) or "/artifacts" in path
        path = path.replace("{run}", "{external}") if driven else path
        for name, value in self.parts.items():
            path = path.replace(name, value)
        return path + ("?offset=0" if "/sessions/" in path else "")

    def routes(self) -> list[tuple[str, str]]:
        """Those that name something."""
        paths = self.app.openapi()["paths"]
        named = {(m.upper(), path) for path, methods in paths.items() for m in methods if "{" in path}
        return sorted(pair for pair in named if not pair[1].startswith(ELSEWHERE))

    def lists(self) -> list[str]:
        paths = self.app.openapi()["paths"]
        plain = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
        return sorted(path for path in plain if not path.startswith((*ELSEWHERE, "/api/v1/status")))


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    folder = tmp_path_factory.mktemp("tenancy")
    home = Home(folder / "home")
    home.create()
    platform = open_platform(home)
    yield Owner(platform, folder)
    platform.database.close()


def test_every_route_that_names_something_of_another_tenant_says_404(owner: Owner) -> None:
    routes = owner.routes()
    assert len(routes) > 25
    for method, path in routes:
        found = owner.ask(method, owner.filled(path), owner.guest, BODIES.get((method, path)))
        assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found"), (method, path)


def test_the_same_are_there_for_their_owner(owner: Owner) -> None:
    """So that it is not the request that is wrong."""
    for method, path in owner.routes():
        if method == "GET":
            found = owner.ask(method, owner.filled(path), owner.mine)
            if "{file}" not in path and "{path}" not in path:
                assert found.status_code != 404, (path, found.text)


def test_lists_of_a_new_tenant_are_empty(owner: Owner) -> None:
    lists = owner.lists()
    assert {"/api/v1/models", "/api/v1/runs", "/api/v1/deployments", "/api/v1/usage"} <= set(lists)
    for path in lists:
        mine, guests = (owner.ask("GET", path, key).json() for key in (owner.mine, owner.guest))
        assert [item.get("name") for item in guests["items"]] == (["test"] if path.endswith("/keys") else [])
        assert mine["items"] or path.endswith("/usage"), path


def test_environments_are_shown_to_the_first_tenant_and_to_those_who_need_them(owner: Owner) -> None:
    assert owner.ask("GET", "/api/v1/environments", owner.guest).json()["items"] == []
    assert owner.ask("GET", f"/api/v1/environments/{DIGEST}", owner.guest).status_code == 404
    assert owner.ask("POST", "/api/v1/environments/collect", owner.guest, {"days": 1}).status_code == 403
    assert owner.ask("GET", "/api/v1/environments", owner.mine).status_code == 200


def test_nothing_of_another_tenant_is_used(owner: Owner) -> None:
    """References in bodies."""
    upload = owner.ask("POST", "/api/v1/uploads?filename=a.csv", owner.mine).json()
    for path, body in (
        ("deployments", {"name": "a", "model": "colours"}),
        ("datasets", {"name": "a", "uploads": [upload.get("id", "upload_" + "0" * 26)]}),
        ("runs", {"kind": "evaluate", "params": {"model": "colours"}}),
        (
            "runs",
            {"kind": "train", "params": {"task": "tabular-classification", "name": "a", "data": "colours"}},
        ),
    ):
        found = owner.ask("POST", f"/api/v1/{path}", owner.guest, body)
        assert found.status_code == 404, (path, found.text)
    with owner.platform.database.read() as session:
        for table in (Model, Deployment):
            assert {row.tenant for row in session.scalars(select(table))} == {"default"}


def test_only_an_admin_of_the_first_tenant_names_another_one(owner: Owner) -> None:
    made = owner.ask(
        "POST", "/api/v1/keys?tenant=guests", owner.mine, {"name": "made", "scopes": ["predict"]}
    )
    assert made.status_code == 201
    key = f"/api/v1/keys/{made.json()['id']}"
    assert owner.ask("GET", key, owner.mine).status_code == 404
    assert owner.ask("GET", f"{key}?tenant=guests", owner.mine).status_code == 200
    changed = owner.ask("PATCH", f"{key}?tenant=guests", owner.mine, {"budget": 9})
    assert changed.json()["budget"] == 9
    assert owner.ask("PATCH", key, owner.guest, {}).status_code == 400
    assert owner.ask("GET", "/api/v1/keys?tenant=nobody", owner.mine).status_code == 404
    for tenant in ("default", "nobody", "..", "%00"):
        for method, path, body in (
            ("GET", "keys", None),
            ("GET", "usage", None),
            ("POST", "keys", {"name": "x"}),
        ):
            found = owner.ask(method, f"/api/v1/{path}?tenant={tenant}", owner.guest, body)
            assert (found.status_code, found.json()["error"]["code"]) == (403, "forbidden"), (path, tenant)
    assert owner.ask("DELETE", f"{key}?tenant=guests", owner.mine).status_code == 204
