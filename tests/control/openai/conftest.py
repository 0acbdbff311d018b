import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

import text_models
import tiny_language_model
from control_seed import add_model, publish, write_config
from live_platform import LivePlatform
from modelyard.control.bootstrap import open_platform
from modelyard.home import Home
from modelyard.types.run import RunOutcome
from openai_client import stock_client
from waiting import wait_until

if TYPE_CHECKING:
    from openai import OpenAI


@dataclass
class Site:
    """A live platform, the stock client at its gateway, and raw requests beside it."""

    platform: LivePlatform
    client: "OpenAI"
    stack: ExitStack

    @property
    def url(self) -> str:
        return self.platform.config.gateway_url

    @property
    def key(self) -> str:
        return str(self.platform.http.headers["authorization"]).removeprefix("Bearer ")

    def ask(self, method: str, path: str, key: str | None = "", **options: Any) -> httpx.Response:
        """`path` below /v1; `key` "" is the admin's, None is none."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.key}"
        return httpx.request(
            method, f"{self.url}/v1/{path}", headers=headers, trust_env=False, timeout=30, **options
        )

    def refused(
        self, method: str, path: str, status: int, param: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """That a request is refused in OpenAI's shape; the error."""
        return error_of(self.ask(method, path, **options), status, param)

    def make_key(self, *scopes: str) -> str:
        return str(self.platform.post("keys", {"name": "k", "scopes": list(scopes)})["key"])

    def other(self, key: str) -> "OpenAI":
        """A client with another key."""
        return self.stack.enter_context(stock_client(self.url, key))


def error_of(response: httpx.Response, status: int, param: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param, error
    assert error["type"] == ("invalid_request_error" if status < 500 else "server_error")
    for inside in ("Traceback", "/tmp", "modelyard/"):
        assert inside not in response.text
    return dict(error)


@pytest.fixture(scope="session")
def site(opened_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests of this folder."""
    with live_site(copied_home(opened_home, tmp_path_factory)) as site:
        yield site


@pytest.fixture(scope="session")
def stocked(opened_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform with the tiny language model `tiny`, `vectors` of texts, and `colours`, which speaks no OpenAI."""
    home = copied_home(opened_home, tmp_path_factory)
    platform = open_platform(home)
    outcome = RunOutcome(state="succeeded", outputs={"package": "package"})
    for name, write in (("tiny", tiny_language_model.write_package), ("vectors", text_models.vector_package)):
        outputs = tmp_path_factory.mktemp(name)
        write(outputs / "package")
        publish(platform, outputs, outcome, {"model": name})
    add_model(platform, tmp_path_factory.mktemp("colours"))
    platform.database.close()
    with live_site(home) as site:
        yield site


def copied_home(opened_home: Path, folders: pytest.TempPathFactory) -> Home:
    root = folders.mktemp("openai") / "home"
    shutil.copytree(opened_home, root)
    home = Home(root)
    write_config(home)
    return home


@contextmanager
def live_site(home: Home) -> Iterator[Site]:
    with ExitStack() as stack:
        platform = stack.enter_context(LivePlatform(home))
        key = msgspec.json.decode(home.credentials.read_bytes())["api_key"]
        client = stack.enter_context(stock_client(platform.config.gateway_url, key))
        site = Site(platform, client, stack)
        wait_until(lambda: _answers(site), 20, "the gateway")
        yield site


def _answers(site: Site) -> bool:
    try:
        return site.ask("GET", "files").status_code == 200
    except httpx.TransportError:
        return False
