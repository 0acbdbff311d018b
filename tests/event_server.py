"""A small real HTTP server that takes a run's events as control does."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from modelyard.types.run import RunEvent, RunEvents, RunReply

TOKEN = "attempt-token"


class EventServer:
    """`posts` are (monotonic time, path, RunEvents). `status` and `cancel` say how it answers."""

    def __init__(self, port: int = 0) -> None:
        self.posts: list[tuple[float, str, RunEvents]] = []
        self.status = 200
        self.cancel = False
        self.cancel_at_step: int | None = None
        self.lose_at_step: int | None = None
        self.connections: set[socket.socket] = set()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def events(self) -> list[RunEvent]:
        return [event for _, _, post in self.posts for event in post.events]

    @property
    def steps(self) -> list[int]:
        return [event.step for event in self.events if event.step is not None]

    def answer(self, events: RunEvents) -> tuple[int, bytes]:
        steps = [event.step for event in events.events if event.step is not None]
        if self.cancel_at_step is not None and any(step >= self.cancel_at_step for step in steps):
            self.cancel = True
        if self.lose_at_step is not None and any(step >= self.lose_at_step for step in steps):
            self.status = 410
        return self.status, msgspec.json.encode(RunReply(cancel=self.cancel))

    def close(self) -> None:
        """End, and break the connections, as a killed process does."""
        self._http.shutdown()
        for connection in list(self.connections):
            with suppress(OSError):  # it ended by itself meanwhile
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()
        self._thread.join(10)


@contextmanager
def event_server(port: int = 0) -> Iterator[EventServer]:
    server = EventServer(port)
    try:
        yield server
    finally:
        server.close()


def _handler(server: EventServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def setup(self) -> None:
            super().setup()
            server.connections.add(self.connection)

        def finish(self) -> None:
            server.connections.discard(self.connection)
            super().finish()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                return self._send(401, b"{}")
            events = msgspec.json.decode(body, type=RunEvents)
            status, answer = server.answer(events)
            if status == 200:
                server.posts.append((time.monotonic(), self.path, events))
            self._send(status, answer)

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    return Handler
