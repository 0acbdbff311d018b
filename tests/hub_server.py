"""A stand-in for the Hugging Face hub: the few addresses that huggingface_hub 2.4 asks for, over real HTTP.

`broken` names files whose first answer ends in the middle.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """Serves the folder ORG/NAME/... below `root`. Leaving the block ends it. `asked` are (method, path, range)."""

    def __init__(self, root: Path, broken: frozenset[str] = frozenset()) -> None:
        self.root, self.broken = root, set(broken)
        self.asked: list[tuple[str, str, str | None]] = []

    def __enter__(self) -> "HubServer":
        outer = self

        class Handler(_Handler):
            hub = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fetched(self) -> set[str]:
        """Files whose bytes were asked for."""
        return {
            p.partition(f"/resolve/{COMMIT}/")[2]
            for method, p, _ in self.asked
            if method == "GET" and "/resolve/" in p
        }


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        if path.startswith("/api/models/"):
            return self._info(path.removeprefix("/api/models/"))
        repository, found, file = path.lstrip("/").partition("/resolve/")
        place = self.hub.root / repository / file.partition("/")[2]
        if not found or not place.is_file():
            return self._error(404, "EntryNotFound")
        self._file(place)

    def _info(self, rest: str) -> None:
        repository, found, revision = rest.partition("/revision/")
        folder = self.hub.root / repository
        if not folder.is_dir():
            return self._error(404, "RepoNotFound")
        if found and revision not in ("main", COMMIT):
            return self._error(404, "RevisionNotFound")
        files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        siblings = [{"rfilename": p.relative_to(folder).as_posix(), "size": p.stat().st_size} for p in files]
        body = {
            "id": repository,
            "modelId": repository,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "siblings": siblings,
        }
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, place: Path) -> None:
        data = place.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        part = data[start:]
        if self.command == "GET" and place.name in self.hub.broken:
            self.hub.broken.discard(place.name)
            return self._break_off(part, headers)
        self._send(206 if start else 200, part, headers)

    def _break_off(self, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
