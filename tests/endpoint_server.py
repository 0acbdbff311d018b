"""A small real HTTP server that answers /v1/embeddings and /v1/chat/completions, and counts what it was asked."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

Answering = Callable[[str, int], tuple[int, bytes]]
"""The text that was sent and how often it came before -> status and body."""


def embedding(text: str, before: int = 0) -> tuple[int, bytes]:
    """A good answer, written over several lines as some servers do."""
    said = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, float(len(text))]}],
        "usage": {
            "prompt_tokens": len(text), "completion_tokens": 2, "total_tokens": len(text) + 2,
            "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }  # fmt: skip
    return 200, msgspec.json.format(msgspec.json.encode(said), indent=2)


class EndpointServer:
    """`asked` counts by text, `keys` are those that were shown, `most` the requests that were there at once. While
    `gate` is closed nothing is answered."""

    def __init__(self, answering: Answering = embedding) -> None:
        self.answering = answering
        self.asked: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.now = self.most = 0
        self.retry_after = ""
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.gate.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def come(self, text: str, key: str) -> int:
        with self._lock:
            before = self.asked[text]
            self.asked[text] += 1
            self.keys.add(key)
            self.now += 1
            self.most = max(self.most, self.now)
        return before

    def gone(self) -> None:
        with self._lock:
            self.now -= 1


@contextmanager
def endpoint_server(answering: Answering = embedding) -> Iterator[EndpointServer]:
    server = EndpointServer(answering)
    try:
        yield server
    finally:
        server.close()


def _handler(server: EndpointServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            body: dict[str, Any] = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
            before = server.come(body["input"], self.headers["Authorization"])
            try:
                server.gate.wait(60)
                status, said = server.answering(body["input"], before)
            finally:
                server.gone()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.send_header("X-Request-Id", f"req-{body['input']}")
                if server.retry_after:
                    self.send_header("Retry-After", server.retry_after)
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                self.close_connection = True  # who asked is gone

        def log_message(self, *arguments: object) -> None:
            """Not into the tests' output."""

    return Handler
