"""What the gateway passes on to control: streaming both ways, in bounded memory, under every limit."""

import base64
import json
import os
import shutil
import socket
import threading
import time
from collections import deque
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from live_serving import Process, free_port, read_all
from mlflow_client import stock_client
from modelyard.cluster.secret import ensure_secret, gateway_token
from modelyard.errors import NotFound
from modelyard.gateway.passing import as_bearer, check_path, error_body, passed
from modelyard.home import Home
from stocked import Stocked
from waiting import wait_until

pytestmark = pytest.mark.slow

FILES = "/api/2.0/mlflow-artifacts/artifacts"
LIMITS = json.dumps(
    {"body": 1 << 20, "header_seconds": 1.0, "body_seconds": 1.0, "linger_seconds": 1.0, "passed_body": 1 << 30,
     "passed_requests": 4, "passed_seconds": 5.0}
)  # fmt: skip


class PassingGateway(Process):
    """A gateway in front of a real control."""

    def __init__(self, home: Home, control_url: str, limits: str = LIMITS) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        argv = ["modelyard.gateway", "--port", str(self.port), "--control-url", control_url]
        argv += ["--home", str(home.root), "--limits", limits]
        token = {"YARD_GATEWAY_TOKEN": gateway_token(ensure_secret(home))}
        super().__init__(argv, home.logs / "test-gateway.log", token)

    def raw(self, *pieces: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            for piece in pieces:
                s.sendall(piece)
            s.shutdown(socket.SHUT_WR)
            return read_all(s)


class Site:
    """A platform, and beside its own gateway one with small limits."""

    def __init__(self, root: Path) -> None:
        self.platform = Stocked(root)
        self.platform.yard("up", "--detach", "--port", "0", "--control-port", "0")
        self.home = self.platform.home
        client = msgspec.json.decode(self.home.credentials.read_bytes())
        self.control_url, self.key = client["url"], client["api_key"]
        self.gateway = PassingGateway(self.home, self.control_url)
        self.http = self.client(self.gateway.url)
        wait_until(self.ready, 20, "the gateway")

    def client(self, url: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=url, trust_env=False, timeout=30, headers=headers)

    def predict_key(self) -> str:
        with self.client(self.control_url) as control:
            made = control.post("/api/v1/keys", json={"name": "p", "scopes": ["predict"]})
            return str(made.json()["key"])

    def ready(self) -> bool:
        try:
            return self.http.get("/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 200
        except httpx.TransportError:
            return False

    def run(self) -> str:
        """Where a fresh run keeps its files."""
        made = self.http.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"})
        return f"{FILES}/0/{made.json()['run']['info']['run_id']}/artifacts"

    def stop(self) -> None:
        self.http.close()
        self.gateway.stop()
        self.platform.yard("down")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("passing") / "home")
    yield site
    site.stop()


@pytest.fixture
def gateway(site):
    """It must be the same process and answer at the end of each test."""
    yield site.gateway
    assert site.gateway.child.poll() is None
    assert site.ready()


def head(site, method, path, *headers, key=True):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    lines += [f"Authorization: Bearer {site.key}"] if key else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status_of(data: bytes) -> int:
    return int(data.split()[1]) if data else 0


@pytest.mark.filterwarnings("ignore")  # of the stock client's own
def test_the_stock_client_needs_one_address(site, gateway, tmp_path):
    with stock_client(gateway.url, site.key) as client:
        run = client.create_run(client.create_experiment("through the gateway"))
        client.log_metric(run.info.run_id, "a", 0.5)
        (tmp_path / "f").write_bytes(os.urandom(3 << 20))
        client.log_artifact(run.info.run_id, str(tmp_path / "f"))
        (tmp_path / "down").mkdir()
        down = client.download_artifacts(run.info.run_id, "f", str(tmp_path / "down"))
        assert Path(down).read_bytes() == (tmp_path / "f").read_bytes()
        assert client.get_run(run.info.run_id).data.metrics == {"a": 0.5}


def test_a_large_file_goes_through_in_bounded_memory(site, gateway, tmp_path):
    path = site.run() + "/big"
    part = os.urandom(1 << 20)
    process, peak, done = psutil.Process(gateway.pid), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    sent = site.http.put(path, content=(part for _ in range(256)), timeout=120)  # chunked
    assert sent.status_code == 200
    size = 0
    with site.http.stream("GET", path) as answer:
        assert answer.headers["content-length"] == str(256 << 20)
        for piece in answer.iter_bytes():
            size += len(piece)
    done.set()
    thread.join()
    assert size == 256 << 20
    assert peak[0] - before < 32 << 20


def test_a_slow_reader_gets_all_and_holds_nothing_up(site, gateway):
    path = site.run() + "/slow"
    data = os.urandom(24 << 20)
    site.http.put(path, content=data)
    before = psutil.Process(gateway.pid).memory_info().rss
    with socket.create_connection(("127.0.0.1", gateway.port), 30) as s:
        s.sendall(head(site, "GET", path, "Connection: close"))
        first = s.recv(1000)
        assert site.ready()  # others are served meanwhile
        assert psutil.Process(gateway.pid).memory_info().rss - before < 16 << 20
        answer = first + read_all(s)
    assert answer.partition(b"\r\n\r\n")[2] == data


def test_headers_of_one_connection_stay_there(site, gateway):
    answer = site.http.get(
        "/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"X-Request-Id": "mine-12"}
    )
    assert answer.headers["x-request-id"] == "mine-12"
    assert answer.headers.get_list("content-length") == [str(len(answer.content))]
    assert "transfer-encoding" not in answer.headers
    assert len(answer.headers.get_list("date")) == 1
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_connection_is_kept_for_the_next_request(site, gateway):
    one = head(site, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")
    last = head(site, "GET", "/v2/health/live", "Connection: close")
    answer = gateway.raw(one + one + last)
    assert answer.count(b"HTTP/1.1 200") == 3


def test_keys_are_looked_at_first(site, gateway):
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    for authorization in (None, "Bearer yard_no", "Basic ???", "Basic " + base64.b64encode(b"a:no").decode()):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = httpx.get(gateway.url + path, headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == "Bearer"
    basic = "Basic " + base64.b64encode(f"me:{site.key}".encode()).decode()
    assert httpx.get(gateway.url + path, headers={"Authorization": basic}, trust_env=False).status_code == 200
    predict = site.predict_key()
    wait_until(lambda: httpx.get(f"{gateway.url}/v2/models/x", headers={"Authorization": f"Bearer {predict}"},
                                 trust_env=False).status_code == 404)  # fmt: skip
    answer = httpx.get(gateway.url + path, headers={"Authorization": f"Bearer {predict}"}, trust_env=False)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert httpx.get(f"{gateway.url}/version", trust_env=False).text == "3.17.2"


@pytest.mark.parametrize(
    "path",
    ["/api/2.0/mlflow/../../v1/keys", "/api/2.0/mlflow/%2e%2e/%2e%2e/v1/keys", "/api/2.0//mlflow/x",
     "/api/2.0/mlflow//x", "/api/2.0/mlflow/./x", "/api/2.0/mlflow/%00", "/api/2.0/mlflow/..%2f..%2fv1%2fkeys",
     "/api/v1/keys", "/api/v1/runs", "/internal/snapshots", "/API/2.0/mlflow/x", "/api/2.0/"],
)  # fmt: skip
def test_nothing_else_of_control_can_be_reached(site, gateway, path):
    for key in (True, False):
        data = gateway.raw(head(site, "GET", path, "Connection: close", key=key))
        assert status_of(data) in (401, 404), data


@pytest.mark.parametrize("chunked", [True, False])
def test_control_says_no_before_a_body_is_sent(site, gateway, chunked):
    path = f"{FILES}/0/run_{'0' * 26}/artifacts/x"
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {100 << 20}"
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), 20) as s:
        s.sendall(head(site, "PUT", path, framing))
        data = s.recv(4096)
    assert (status_of(data), b"RESOURCE_DOES_NOT_EXIST" in data) == (404, True)
    assert time.monotonic() - started < 5


def test_limits_of_size(site, gateway):
    path = site.run() + "/x"
    data = gateway.raw(head(site, "PUT", path, f"Content-Length: {2 << 30}"))
    assert (status_of(data), b"error_code" in data) == (413, True)
    data = gateway.raw(head(site, "PUT", path, f"Content-Length: {10**18}"))
    assert status_of(data) == 413
    data = gateway.raw(head(site, "POST", "/v2/models/x/infer", f"Content-Length: {2 << 20}"))
    assert status_of(data) == 413  # everything else keeps its limit


def test_a_body_at_one_byte_a_second(site, gateway):
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), 20) as s:
        s.sendall(head(site, "PUT", site.run() + "/slow", "Content-Length: 1000000"))
        data, sent = b"", 0
        s.settimeout(0.3)
        while not data and time.monotonic() - started < 10:
            try:
                data = s.recv(4096)
            except TimeoutError:
                s.sendall(b"x")
                sent += 1
    assert status_of(data) == 408
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "bad",
    [b"5\r\nhelloXX\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffffff\r\n"],
)
def test_a_body_that_is_none_is_refused_and_not_kept(site, gateway, bad):
    path = site.run() + "/x"
    data = gateway.raw(head(site, "PUT", path, "Transfer-Encoding: chunked") + bad)
    assert status_of(data) == 400
    assert site.http.get(path).status_code == 404


def test_two_lengths(site, gateway):
    data = gateway.raw(
        head(site, "PUT", site.run() + "/x", "Content-Length: 1", "Transfer-Encoding: chunked") + b"x"
    )
    assert status_of(data) == 400


def test_a_caller_that_goes_leaves_nothing(site, gateway):
    path = site.run() + "/gone"
    for _ in range(8):  # more than may be under way at once
        with socket.create_connection(("127.0.0.1", gateway.port), 20) as s:
            s.sendall(head(site, "PUT", path, "Content-Length: 1000000") + b"x" * 100_000)
    wait_until(lambda: site.http.get(path).status_code == 404, 10)
    site.http.put(path + "2", content=b"y" * (9 << 20))
    for _ in range(8):
        with socket.create_connection(("127.0.0.1", gateway.port), 20) as s:
            s.sendall(head(site, "GET", path + "2"))
            s.recv(1000)
    wait_until(lambda: site.http.get(path).status_code == 404, 10)
    temporary = site.home.temporary
    wait_until(lambda: not list(temporary.iterdir()), 10, "partial files to go")


def test_too_many_at_once(site, gateway):
    path = site.run()
    held: list[socket.socket] = []

    def refused():
        """Uploads that nothing comes of hold their places for a second: on a busy machine it may take two tries."""
        for number in range(4):
            held.append(socket.create_connection(("127.0.0.1", gateway.port), 20))
            held[-1].sendall(head(site, "PUT", f"{path}/{number}", "Content-Length: 200000"))
        answer = site.http.get(path + "/x")
        return answer.status_code == 503 and answer

    try:
        answer = wait_until(refused, 20)
        assert (answer.json()["error_code"], answer.headers["retry-after"]) == (
            "TEMPORARILY_UNAVAILABLE",
            "1",
        )
    finally:
        for s in held:
            s.close()
    wait_until(site.ready, 10)


def test_control_that_is_away(site, tmp_path):
    """A gateway of its own, so that the others keep their control."""
    root = tmp_path / "home"
    shutil.copytree(site.home.root, root, ignore=shutil.ignore_patterns("sockets", "*.sock"))
    lone = PassingGateway(Home(root), f"http://127.0.0.1:{free_port()}")
    try:
        headers = {"Authorization": f"Bearer {site.key}"}
        path = f"{lone.url}/api/2.0/mlflow/experiments/get?experiment_id=0"

        def asked():
            try:
                return httpx.get(path, headers=headers, trust_env=False)
            except httpx.TransportError:
                return None

        answer = wait_until(asked, 20)
        assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        assert "127.0.0.1" not in answer.text
    finally:
        lone.stop()


def test_what_is_passed():
    assert passed("/api/2.0/mlflow/runs/get").scope == "track"
    assert passed("/api/v1/runs") is None
    assert passed("/version") is not None
    assert passed("/versions") is None
    assert as_bearer(b"Basic " + base64.b64encode(b"me:key")) == b"Bearer key"
    assert as_bearer(b"Bearer x") == b"Bearer x"
    assert as_bearer(b"basic !") is None
    check_path(b"/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts/a%20b/%C3%A9..txt")
    for raw in (b"/a/../b", b"/a/%2e%2E/b", b"/a//b", b"/a/./b", b"/a/..%2fb"):
        with pytest.raises(NotFound):
            check_path(raw)


def test_an_answer_that_breaks_off_does_not_look_whole(tmp_path_factory):
    """Control is killed in the middle of a download."""
    own = Site(tmp_path_factory.mktemp("broken") / "home")
    try:
        path = own.run() + "/big"
        own.http.put(path, content=os.urandom(64 << 20))
        control = next(
            p for p in psutil.process_iter(["cmdline"])
            if {"modelyard.control", str(own.home.root)} <= set(p.info["cmdline"] or ())  # None of a zombie
        )  # fmt: skip
        with own.http.stream("GET", path) as answer:
            pieces = answer.iter_raw(1 << 16)
            next(pieces)
            control.kill()
            with pytest.raises(httpx.TransportError):
                deque(pieces)
        assert own.gateway.child.poll() is None
        wait_until(own.ready, 30, "control to be started again")
    finally:
        own.stop()


def test_headers_that_a_caller_calls_its_connections(site, gateway):
    """Connection: authorization must not take the key away, nor may it be a way around a check."""
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    for named in ("close, authorization", "close, x-secret", "close, content-length"):
        assert status_of(gateway.raw(head(site, "GET", path, f"Connection: {named}", "X-Secret: 1"))) == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "/api/2.0/mlflow/runs/get",
            {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "m", "request_id": "r"},
        ),
        *(
            (path, {"error": {"message": "m", "type": "server_error", "param": None, "code": "unavailable"}})
            for path in ("/v1/files", "/v1/batches/batch_1", "/v1/fine_tuning/jobs")
        ),
    ],
)
def test_each_kind_of_path_has_its_own_shape_of_errors(path, said):
    assert json.loads(error_body(path, 503, "unavailable", "m", "r")) == said
