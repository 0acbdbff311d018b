"""The replica as a process, spoken to in frames."""

import json
import os
import signal
import socket
import struct

import msgspec
import pytest

from live_models import POISON
from live_serving import Replica
from modelyard.serving import frames
from modelyard.serving.frames import Answer, Kind, Parser
from modelyard.serving.probe import connect
from waiting import wait_until


class Caller:
    """One blocking connection."""

    def __init__(self, replica: Replica) -> None:
        self.socket = connect(replica.address, 20.0)
        self.parser, self.frames = Parser(), []
        self.hello = self.next()

    def next(self):
        while not self.frames:
            data = self.socket.recv(1 << 20)
            if not data:
                return None
            self.frames += self.parser.feed(data)
        return self.frames.pop(0)

    def send(self, number: int, inputs: dict, left: int = 20_000, dialect: int = 0) -> bytes:
        tensors = [{"name": n, "shape": [len(v)], "datatype": "FP64", "data": v} for n, v in inputs.items()]
        body = json.dumps({"inputs": tensors}).encode() if dialect == 0 else json.dumps(inputs).encode()
        return frames.request_head(number, dialect, 0, left, b"", len(body)) + body

    def ask(self, *requests: bytes) -> dict[int, Answer]:
        self.socket.sendall(b"".join(requests))
        found = [self.next() for _ in requests]
        return {frame.id: frames.read_answer(frame.payload) for frame in found}

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def replica(packages_folder, tmp_path_factory):
    replica = Replica(packages_folder / "workbench", "bench", tmp_path_factory.mktemp("r") / "s", max_batch=8)
    yield replica.ready()
    replica.stop()


@pytest.fixture
def own_replica(packages_folder, tmp_path):
    replica = Replica(packages_folder / "workbench", "bench", tmp_path / "s", max_batch=8)
    yield replica.ready()
    replica.stop()


@pytest.fixture
def caller(replica):
    caller = Caller(replica)
    yield caller
    caller.close()


def body_of(answer: Answer) -> dict:
    return json.loads(answer.body)


def test_says_hello_with_its_signature(replica, caller):
    hello = json.loads(caller.hello.payload)
    assert caller.hello.kind == Kind.HELLO
    assert hello["digest"] == replica.digest
    assert [i["name"] for i in hello["signature"]["inputs"]] == ["work", "index"]
    assert hello["labels"] == ["even", "odd"]


def test_answers_what_was_asked_each_to_its_own(caller):
    asked = [caller.send(k, {"work": [0.0], "index": [float(k % 10)]}) for k in range(20)]
    answers = caller.ask(*asked)
    for k in range(20):
        assert body_of(answers[k])["outputs"][0]["data"] == [float(k % 2 == 0), float(k % 2)]


def test_requests_of_many_rows_keep_their_order(caller):
    index = [float(k * 7 % 10) for k in range(50)]  # more rows than a batch
    answer = caller.ask(caller.send(1, {"work": [0.0] * 50, "index": index}))[1]
    assert body_of(answer)["outputs"][0]["shape"] == [50, 2]
    assert body_of(answer)["outputs"][0]["data"][1::2] == [k % 2 for k in index]


def test_what_waits_runs_together(own_replica):
    caller = Caller(own_replica)
    busy = caller.send(0, {"work": [600.0], "index": [0.0]})
    caller.ask(busy, *[caller.send(k, {"work": [0.0], "index": [1.0]}) for k in range(1, 17)])
    counted = own_replica.probe().statistics
    assert counted.requests == counted.rows == 17
    assert counted.batches < 17
    assert counted.queue_ns > 0
    assert counted.compute_ns > 0
    caller.close()


def test_poison_fails_alone(caller):
    asked = [caller.send(k, {"work": [0.0], "index": [POISON if k == 3 else 2.0]}) for k in range(8)]
    answers = caller.ask(*asked)
    assert answers[3].status == 400
    assert body_of(answers[3])["error"].startswith("the model cannot run")
    assert {answers[k].status for k in range(8) if k != 3} == {200}


def test_a_deadline_that_has_passed_is_not_run(own_replica):
    caller = Caller(own_replica)
    slow = caller.send(1, {"work": [600.0], "index": [0.0]})
    caller.socket.sendall(slow)
    wait_until(lambda: own_replica.child.poll() is None, 1)
    answers = caller.ask(
        caller.send(2, {"work": [0.0], "index": [0.0]}, left=0),
        caller.send(3, {"work": [0.0], "index": [1.0]}),
    )
    found = answers | {f.id: frames.read_answer(f.payload) for f in [caller.next()]}
    assert found[2].status == 504
    assert found[1].status == found[3].status == 200
    assert own_replica.probe().statistics.rows == 2
    caller.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 250_000,
        b'"x"',
        b"\xff\xfe{\x00}\x00",
        b'{"inputs":[]}',
        b'{"inputs":[{"name":"work"}]}',
        b"\x00" * 10,
    ],
)
def test_bad_bodies_are_answered(caller, body):
    for dialect in (0, 1):
        answer = caller.ask(frames.request_head(1, dialect, 0, 1000, b"", len(body)) + body)[1]
        assert answer.status == 400
        assert list(body_of(answer)) == ["error"]


def test_an_unknown_dialect_is_answered(caller):
    assert caller.ask(frames.request_head(1, 200, 0, 1000, b"", 2) + b"{}")[1].status == 400


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IBI", 2**31, Kind.REQUEST, 1),
        struct.pack("<IBI", 5, 99, 1),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_stream_that_is_none_of_frames_is_closed_and_others_go_on(replica, caller, data):
    other = Caller(replica)
    other.socket.sendall(data)
    assert other.next() is None
    other.close()
    assert caller.ask(caller.send(1, {"work": [0.0], "index": [0.0]}))[1].status == 200


def test_a_short_request_frame_is_an_error_of_its_own(caller):
    assert caller.ask(frames.pack(Kind.REQUEST, 7, b"\x00"))[7].status == 500
    assert caller.ask(caller.send(1, {"work": [0.0], "index": [0.0]}))[1].status == 200


def test_a_slow_reader_holds_up_only_itself(own_replica):
    lazy, quick = Caller(own_replica), Caller(own_replica)
    rows = {"work": [0.0] * 20_000, "index": [1.0] * 20_000}
    lazy.socket.setblocking(False)
    sent = 0
    request = lazy.send(1, rows)
    for _ in range(40):  # as much as the sockets take; none of the answers is read
        try:
            sent += lazy.socket.send(request[sent % len(request) :])
        except BlockingIOError:
            break
    for number in range(5):
        assert quick.ask(quick.send(number, {"work": [0.0], "index": [1.0]}))[number].status == 200
    lazy.close()
    quick.close()


def test_a_caller_that_goes_takes_nothing_with_it(own_replica):
    for _ in range(20):
        gone = Caller(own_replica)
        gone.socket.sendall(gone.send(1, {"work": [0.0], "index": [0.0]}))
        gone.close()
    caller = Caller(own_replica)
    assert caller.ask(caller.send(1, {"work": [0.0], "index": [0.0]}))[1].status == 200
    caller.close()


def test_sigterm_answers_what_is_under_way_and_removes_the_socket(own_replica):
    caller = Caller(own_replica)
    caller.socket.sendall(caller.send(1, {"work": [1500.0], "index": [3.0]}))
    own_replica.signal(signal.SIGTERM)
    seen = {}
    while len(seen) < 2 and (frame := caller.next()):
        seen[frame.kind] = frame
    assert frames.read_answer(seen[Kind.ANSWER].payload).status == 200
    assert Kind.DRAIN in seen
    caller.close()
    assert own_replica.wait() == 0
    assert not own_replica.socket.exists()


def test_a_successors_socket_is_left_alone(own_replica):
    own_replica.socket.unlink()
    own_replica.socket.touch()
    own_replica.signal(signal.SIGTERM)
    own_replica.wait()
    assert own_replica.socket.exists()


def test_a_stale_socket_is_taken_over(packages_folder, tmp_path):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(os.fspath(tmp_path / "s"))
    stale.close()
    replica = Replica(packages_folder / "table", "table", tmp_path / "s").ready()
    assert (replica.socket.stat().st_mode & 0o777) == 0o600
    replica.stop()


def test_a_flipped_byte_is_refused_with_the_file_named(packages_folder, tmp_path):
    import shutil

    folder = tmp_path / "package"
    shutil.copytree(packages_folder / "table", folder)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    fault = refused(folder, packages_folder / "table", tmp_path)
    assert fault["code"] == "corrupt"
    assert "model.onnx" in fault["message"]
    assert str(tmp_path) not in fault["message"]


def test_another_version_than_asked_is_refused(packages_folder, tmp_path):
    fault = refused(packages_folder / "table", packages_folder / "image", tmp_path)
    assert fault["code"] == "corrupt"


def refused(folder, digest_of, tmp_path) -> dict[str, str]:
    """The fault of a replica that is to serve `folder` as the version in `digest_of`."""
    import subprocess
    import sys

    from modelyard import packages

    argv = [sys.executable, "-m", "modelyard.serving.replica", "--package", str(folder), "--name", "x"]
    argv += ["--digest", packages.digest(packages.read(digest_of)), "--version", "1"]
    argv += ["--socket", str(tmp_path / "s"), "--fault-file", str(tmp_path / "fault")]
    done = subprocess.run(argv, capture_output=True, timeout=60)
    assert done.returncode == 78
    assert not (tmp_path / "s").exists()
    return msgspec.json.decode((tmp_path / "fault").read_bytes())
