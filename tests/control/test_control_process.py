"""Control as a process: one a home, clear about what it lacks, and good for every write that it acknowledged."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

import postgres
from control_seed import LiveControl, add_dataset, add_model, write_config
from modelyard.cluster.secret import gateway_token, read_secret
from modelyard.control.bootstrap import open_platform
from modelyard.home import Home
from waiting import wait_until

pytestmark = pytest.mark.slow  # real processes

BUILTIN = {"name": "digits", "builtin": "digits"}


@pytest.fixture
def control(home: Home) -> Iterator[LiveControl]:
    with LiveControl(home) as control:
        yield control


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveControl]:
    """One control for the tests that leave it as it was."""
    home = Home(tmp_path_factory.mktemp("unharmed") / "home")
    write_config(home)
    with LiveControl(home) as control:
        yield control


def start_and_fail(home: Home) -> dict[str, str]:
    """The fault of a control that cannot start."""
    fault = home.root / "fault.json"
    argv = [sys.executable, "-m", "modelyard.control", "--home", str(home.root), "--fault-file", str(fault)]
    done = subprocess.run(argv, capture_output=True, timeout=30)
    assert done.returncode == 78, done.stderr.decode()
    found: dict[str, str] = msgspec.json.decode(fault.read_bytes())
    assert "Traceback" not in done.stderr.decode()
    return found


def test_a_second_control_refuses(unharmed: LiveControl) -> None:
    fault = start_and_fail(unharmed.home)
    assert fault == {"code": "conflict", "message": "another control already runs for this home"}
    assert unharmed.get("status")["version"]


def test_a_port_that_is_taken(home: Home) -> None:
    config = write_config(home)
    with socket.create_server(("127.0.0.1", config.control_port)):
        fault = start_and_fail(home)
    assert fault["code"] == "conflict"
    assert f"port {config.control_port} is taken" in fault["message"]
    assert "--control-port" in fault["message"]


def test_an_address_that_is_not_ours(home: Home) -> None:
    write_config(home, control_host="192.0.2.1")
    assert start_and_fail(home)["code"] == "invalid_input"


def test_a_database_that_is_none(home: Home) -> None:
    home.database.write_bytes(b"this is no database" * 1000)
    assert start_and_fail(home)["message"].startswith("the database cannot be opened")


def test_one_submit_sent_100_times_at_once_makes_one_run(unharmed: LiveControl) -> None:
    headers = {"Idempotency-Key": "the-same"}
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: unharmed.post("datasets", BUILTIN, **headers)["id"], range(100)))
    assert len(set(made)) == 1
    assert len(unharmed.get("runs")["items"]) == 1
    other = unharmed.http.post("/api/v1/datasets", json=BUILTIN | {"name": "other"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def test_kill_9_loses_nothing_that_was_acknowledged(control: LiveControl) -> None:
    acknowledged: list[str] = []
    for kill in range(3):
        target = len(acknowledged) + 5 + kill
        killer = threading.Thread(target=lambda n=target: _kill_at(control, acknowledged, n))  # type: ignore[misc]
        killer.start()
        while _submit(control, acknowledged):
            pass
        killer.join()
        control.child.wait()
        control.http.close()
        control.start()
        known = {r["id"]: r["state"] for r in control.get("runs", limit=500)["items"]}
        assert set(acknowledged) <= set(known)
        assert set(known.values()) == {"queued"}
        assert len(known) <= len(acknowledged) + kill + 1, (
            "what was not acknowledged is there at most once a kill"
        )


def _kill_at(control: LiveControl, acknowledged: list[str], count: int) -> None:
    wait_until(lambda: len(acknowledged) >= count, 20)
    os.kill(control.child.pid, signal.SIGKILL)


def _submit(control: LiveControl, acknowledged: list[str]) -> bool:
    try:
        response = control.http.post("/api/v1/datasets", json=BUILTIN)
    except httpx.TransportError:
        return False
    acknowledged.append(response.json()["id"])
    return True


def test_the_key_stays_over_restarts_and_the_address_follows(control: LiveControl) -> None:
    before = msgspec.json.decode(control.home.credentials.read_bytes())
    assert control.stop() == 0
    config = write_config(control.home)
    control.start()
    after = msgspec.json.decode(control.home.credentials.read_bytes())
    assert after == {
        "url": config.control_url,
        "gateway_url": config.gateway_url,
        "api_key": before["api_key"],
    }
    assert control.get("status")["url"] == config.control_url


def test_it_ends_cleanly_with_a_stream_open(control: LiveControl) -> None:
    token = gateway_token(read_secret(control.home))
    url, headers = f"{control.config.control_url}/internal/snapshots", {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", url, headers=headers, timeout=20, trust_env=False) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "", "nothing is known of the replicas without a launcher, and nothing is said"
        assert control.stop() == 0
        assert list(lines) in ([], [""])


def test_a_file_that_is_cut_off_leaves_nothing(unharmed: LiveControl, tmp_path: Path) -> None:
    config = unharmed.config
    with socket.create_connection((config.control_host, config.control_port)) as s:
        head = (
            "POST /api/v1/uploads?filename=a.csv HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        )
        key = unharmed.http.headers["Authorization"]
        s.sendall(f"{head}Authorization: {key}\r\n\r\n".encode() + b"x" * 1000)
        wait_until(lambda: list(unharmed.home.temporary.iterdir()), 5)
    wait_until(lambda: not list(unharmed.home.temporary.iterdir()), 5)
    assert unharmed.get("status")["stored_bytes"] == 0


POST_RUN = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n"
UPLOAD = b"POST /api/v1/uploads?filename=a HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = b"GET /api/v1/health HTTP/1.1\r\n"


def read_answer(s: socket.socket) -> bytes:
    """All that comes before the connection ends; nothing where it is reset before an answer was whole."""
    answer = b""
    try:
        while part := s.recv(65536):
            answer += part
            head, found, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if found and length and len(body) >= int(length[1]):
                break
    except ConnectionResetError:
        return b""
    return answer


@pytest.mark.parametrize(
    ("request_text", "statuses"),
    [
        (HEALTH + b"Host: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", (431,)),
        (HEALTH + b"Host: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", (431,)),
        (HEALTH + b"Host: localhost\r\n" + b"X: a\r\n" * 200 + b"\r\n", (431,)),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414,)),
        (HEALTH + b"Host: localhost\r\nHost: evil\r\n\r\n", (400, 421)),
        (HEALTH + b"\r\n", (400, 421)),
        (POST_RUN + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", (400,)),
        (POST_RUN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 401)),
        (UPLOAD + b"Content-Length: 1000000000000\r\n\r\n", (401,)),
        (b"\x16\x03\x01\x02\x00", (400,)),
    ],
)
def test_hostile_transport(unharmed: LiveControl, request_text: bytes, statuses: tuple[int, ...]) -> None:
    config = unharmed.config
    with socket.create_connection((config.control_host, config.control_port), timeout=10) as s:
        try:
            s.sendall(request_text)
        except (BrokenPipeError, ConnectionResetError):
            return
        answer = read_answer(s)
    assert not answer or int(answer.split()[1]) in statuses
    assert not answer or msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert unharmed.get("status")


@pytest.fixture(params=["sqlite", "postgresql"] if postgres.installed() else ["sqlite"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    with postgres.server() as url:
        yield url


def test_on_each_database(home: Home, tmp_path: Path, database_url: str | None) -> None:
    write_config(home, database_url=database_url)
    platform = open_platform(home)
    add_model(platform, tmp_path)
    add_dataset(platform, tmp_path)
    platform.database.close()
    with LiveControl(home) as control:
        runs = [control.post("datasets", BUILTIN)["id"] for _ in range(3)]
        assert [r["id"] for r in control.get("runs", limit=2)["items"]] == runs[:0:-1]
        assert control.post(f"runs/{runs[0]}/cancel")["state"] == "cancelled"
        control.post("deployments", {"name": "live", "model": "colours", "version": 1})
        assert control.http.delete("/api/v1/models/colours/versions/1").status_code == 409
        assert control.http.get("/api/v1/models/a%00b").status_code == 404
        control.post("runs", {"kind": "evaluate", "params": {"model": "colours", "data": "colours:1"}})
        assert control.stop() == 0
        control.start()
        assert control.get("status")["runs"] == {"cancelled": 1, "queued": 3, "succeeded": 2}
