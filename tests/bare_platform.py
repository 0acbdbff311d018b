"""A real platform with nothing in it, and the errors that it answers with."""

import os
from pathlib import Path
from typing import Any

import httpx

import modelyard
from stocked import Stocked


class Bare(Stocked):
    """Leaving the block stops the platform."""

    def __init__(self, root: Path, **environment: str) -> None:
        super().__init__(root)
        self._environment |= {"COLUMNS": "200", **environment}

    def __enter__(self) -> "Bare":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.yard("up", "--detach", "--port", "0", "--control-port", "0")
        self.client = modelyard.Client(home=self.home)
        settings = self.client.settings
        headers = {"Authorization": f"Bearer {settings.api_key}"}
        self.http = httpx.Client(
            base_url=f"{settings.url}/api/v1", headers=headers, timeout=60, trust_env=False
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        super().__exit__()

    def upload(self, data: bytes, name: str, **query: str) -> httpx.Response:
        return self.http.post("/uploads", params={"filename": name, **query}, content=data)

    def bring(self, data: bytes, name: str, model: str = "brought", **body: Any) -> httpx.Response:
        """Upload, and ask for the import: the answer of the first that refuses, or of the import."""
        uploaded = self.upload(data, name)
        if uploaded.status_code >= 300:
            return uploaded
        return self.http.post(
            "/models/imports", json={"name": model, "uploads": [uploaded.json()["id"]], **body}
        )


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an error that has the API's shape and says nothing of the server's inside."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "request_id"}
    for inside in ("/tmp", "/home", os.getcwd(), "Traceback", "site-packages", 'File "'):
        assert inside not in response.text
    return response.status_code, body["error"]["code"]
