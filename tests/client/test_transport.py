"""The client's HTTP against a real server on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelyard import errors
from modelyard.client.settings import Settings
from modelyard.client.transport import Request, Transport, at


class Server(ThreadingHTTPServer):
    """Answers by `answers`, one a request (the last again and again), and keeps what came."""

    def __init__(self, port=0):
        self.answers = [(200, b"{}")]
        self.came = []
        super().__init__(("127.0.0.1", port), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.came.append((self.command, self.path, dict(self.headers), body))
        answers = self.server.answers
        status, data = answers.pop(0) if len(answers) > 1 else answers[0]
        if status is None:  # the connection breaks before an answer
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def transport(server):
    transport = Transport(Settings(url=server.url, gateway_url=None, api_key="yard_k"), 5.0, 3.0)
    yield transport
    transport.close()


def test_the_key_goes_along_and_empty_arguments_do_not(server, transport):
    transport.get("/x", limit=3, cursor=None)
    _, path, headers, _ = server.came[0]
    assert path == "/x?limit=3"
    assert headers["Authorization"] == "Bearer yard_k"


def test_a_post_is_sent_again_under_the_same_idempotency_key_when_its_answer_is_lost(server, transport):
    server.answers = [(None, b""), (503, b""), (201, b'{"id": 1}')]
    assert transport.post("/runs", {"a": 1}) == {"id": 1}
    assert len(server.came) == 3
    assert len({c[2]["Idempotency-Key"] for c in server.came}) == 1
    assert {c[3] for c in server.came} == {b'{"a": 1}'}


def test_what_may_not_be_repeated_is_not(server, transport):
    server.answers = [(None, b"")]
    with pytest.raises(errors.ModelyardError, match="broke off"):
        transport.send(Request(method="POST", path="/x", json={}, repeatable=False))
    assert len(server.came) == 1


def test_a_server_that_comes_back_is_waited_for():
    first = Server()
    port = first.server_port
    first.close()
    transport = Transport(Settings(url=f"http://127.0.0.1:{port}", gateway_url=None, api_key=None), 5.0, 5.0)
    back = []
    timer = threading.Timer(0.3, lambda: back.append(Server(port)))
    timer.start()
    try:
        assert transport.get("/x") == {}
    finally:
        timer.join()
        back[0].close()
        transport.close()


def test_a_server_that_stays_away_is_unavailable_in_bounded_time():
    server = Server()
    server.close()
    transport = Transport(Settings(url=server.url, gateway_url=None, api_key=None), 5.0, 0.3)
    with pytest.raises(errors.Unavailable, match="yard up"):
        transport.get("/x")
    transport.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (
            404,
            {"error": {"code": "not_found", "message": "no such run", "request_id": "r1"}},
            errors.NotFound,
            "no such",
        ),
        (
            400,
            {"error": {"code": "unknown_name", "message": "did you mean"}},
            errors.UnknownName,
            "did you mean",
        ),
        (400, {"error": "shape is wrong"}, errors.InvalidInput, "shape is wrong"),
        (429, {"error": "full"}, errors.Busy, "full"),
        (418, "tea", errors.ModelyardError, "418"),
        (500, {"error": {"code": "internal", "message": "failed"}}, errors.ModelyardError, "failed"),
    ],
)
def test_errors_come_back_as_our_classes(server, transport, status, body, kind, text):
    server.answers = [(status, json.dumps(body).encode())]
    with pytest.raises(kind, match=text) as caught:
        transport.get("/x")
    assert type(caught.value) is kind
    if status == 404:
        assert caught.value.__notes__ == ["request id r1"]


def test_an_answer_that_is_no_json_is_an_error_of_ours(server, transport):
    server.answers = [(200, b"<html>")]
    with pytest.raises(errors.ModelyardError, match="Modelyard"):
        transport.get("/x")


def test_lists_are_read_over_their_pages(server, transport):
    server.answers = [(200, b'{"items": [1, 2], "next": "c"}'), (200, b'{"items": [3], "next": null}')]
    assert list(transport.pages("/x")) == [1, 2, 3]
    assert "cursor=c" in server.came[1][1]


def test_a_limit_ends_a_list(server, transport):
    server.answers = [(200, b'{"items": [1, 2], "next": "c"}')]
    assert list(transport.pages("/x", 2)) == [1, 2]
    assert len(server.came) == 1
    assert "limit=2" in server.came[0][1]


def test_a_name_stays_one_segment():
    assert at("models", "../keys", "versions", "@champion") == "/api/v1/models/..%2Fkeys/versions/@champion"
