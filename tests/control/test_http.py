"""The deadline for a request's headers, shortened."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from modelyard.control import http
from waiting import wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server whose answers take longer than the headers may."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.8)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    monkeypatch.setattr(http, "HEADER_SECONDS", 0.4)
    config = uvicorn.Config(app, http=http.Protocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        wait_until(lambda: server.started, 10)
        yield listener.getsockname()
        server.should_exit = True
        thread.join()


def read(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: lo"])
def test_headers_that_do_not_come_end_the_connection(address: tuple[str, int], begun: bytes) -> None:
    started = time.monotonic()
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(begun)
        answer = read(connection)
    assert 0.3 < time.monotonic() - started < 5
    assert answer.startswith(b"HTTP/1.1 408")
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"


def test_a_second_request_has_the_deadline_and_a_slow_answer_has_not(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(REQUEST)
        data = b""
        while not data.endswith(b"ok"):
            data += connection.recv(65536)
        assert data.startswith(b"HTTP/1.1 200")
        connection.sendall(REQUEST[:20])
        assert read(connection).startswith(b"HTTP/1.1 408")
