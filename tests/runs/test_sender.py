import itertools
import socket
import time

import pytest

from event_server import TOKEN, EventServer, event_server
from modelyard.runs import sender as module
from modelyard.runs.sender import HEARTBEAT, INTERVAL, EventSender
from modelyard.types.run import RunEvent, RunSpec
from waiting import wait_until

pytestmark = pytest.mark.slow


def point(step):
    return RunEvent(metrics={"loss": 1 / step}, step=step, time=float(step))


def progress(done):
    return RunEvent(done=done, total=100, text=f"at {done}", time=1.0)


@pytest.fixture
def server():
    with event_server() as running:
        yield running


@pytest.fixture
def start():
    """Make senders that are closed at the end."""
    made = []

    def make(url, token=TOKEN):
        reasons = []
        spec = RunSpec(
            id="run_1", attempt=2, kind="train", tenant="default", params={}, control_url=url, token=token
        )
        sender = EventSender(spec, reasons.append)
        sender.start()
        made.append(sender)
        return sender, reasons

    yield make
    for sender in made:
        sender.close(0.0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_events_arrive_in_order_in_batches(server, start):
    sender, reasons = start(server.url)
    for step in range(1, 1501):
        sender.put(point(step))
    assert sender.close(10)
    assert server.steps == list(range(1, 1501))
    assert {path for _, path, _ in server.posts} == {"/internal/runs/run_1/events"}
    assert {post.attempt for _, _, post in server.posts} == {2}
    assert len(server.posts) <= 6
    assert reasons == []


def test_posts_keep_their_distance(server, start):
    sender, _ = start(server.url)
    steps = itertools.count(1)

    def three_posts():
        sender.put(point(next(steps)))
        return len(server.posts) >= 4

    wait_until(three_posts)
    times = [at for at, _, _ in server.posts]
    assert all(later - earlier >= INTERVAL * 0.9 for earlier, later in itertools.pairwise(times))


def test_a_heartbeat_comes_when_nothing_happens(server, start):
    start(server.url)
    wait_until(lambda: len(server.posts) >= 3, 3 * HEARTBEAT + 2)
    assert server.events == []
    times = [at for at, _, _ in server.posts]
    assert all(later - earlier < HEARTBEAT + 0.5 for earlier, later in itertools.pairwise(times))


def test_a_cancel_is_passed_on(server, start):
    server.cancel = True
    _, reasons = start(server.url)
    wait_until(lambda: reasons)
    assert reasons[0] == "the run was cancelled"


@pytest.mark.parametrize("status", [410, 401, 403, 404])
def test_a_lost_lease_is_passed_on_and_nothing_more_is_sent(server, start, status):
    server.status = status
    sender, reasons = start(server.url)
    wait_until(lambda: reasons)
    assert "lease is lost" in reasons[0]
    server.status = 200
    sender.put(point(1))
    sender.close(2)
    assert server.posts == []


def test_a_wrong_token_loses_the_lease(server, start):
    _, reasons = start(server.url, token="another")
    wait_until(lambda: reasons)
    assert server.posts == []


def test_nothing_is_lost_while_control_is_down(start):
    port = free_port()
    sender, reasons = start(f"http://127.0.0.1:{port}")
    for step in range(1, 101):
        sender.put(point(step))
    server = EventServer(port)
    try:
        assert sender.close(10)
        assert server.steps == list(range(1, 101))
        assert reasons == []
    finally:
        server.close()


def test_it_goes_on_after_control_was_started_again(start):
    first = EventServer()
    sender, _ = start(first.url)
    sender.put(point(1))
    wait_until(lambda: first.steps)
    first.close()
    sender.put(point(2))
    with event_server(first.port) as second:
        wait_until(lambda: second.steps == [2])
        sender.put(point(3))
        assert sender.close(10)
        assert second.steps == [2, 3]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_answer_that_passes_is_tried_again(server, start, status):
    server.status = status
    sender, reasons = start(server.url)
    sender.put(point(1))
    assert not sender.close(0.6)
    server.status = 200
    wait_until(lambda: server.steps == [1])
    assert reasons == []


def test_a_batch_that_is_refused_does_not_hold_up_the_next(server, start, caplog):
    server.status = 422
    sender, _ = start(server.url)
    sender.put(point(1))
    wait_until(lambda: "refused 1 events with status 422" in caplog.text)
    server.status = 200
    sender.put(point(2))
    wait_until(lambda: server.steps == [2])


def test_progress_that_waits_is_replaced_by_newer(start):
    port = free_port()
    sender, _ = start(f"http://127.0.0.1:{port}")
    for done in range(1, 51):
        sender.put(progress(done))
    sender.put(point(1))
    sender.put(progress(60))
    with event_server(port) as server:
        assert sender.close(10)
        assert [(e.done, e.step) for e in server.events] == [(50, None), (None, 1), (60, None)]


def test_the_buffer_is_bounded_and_keeps_the_newest_points(start, monkeypatch, caplog):
    monkeypatch.setattr(module, "BOUND", 100)
    port = free_port()
    sender, _ = start(f"http://127.0.0.1:{port}")
    for step in range(1, 151):
        sender.put(progress(step))
        sender.put(point(step))
    assert "older ones are dropped" in caplog.text
    with event_server(port) as server:
        sender.close(10)
        assert server.steps[-1] == 150
        assert server.steps == list(range(server.steps[0], 151))
        assert len(server.events) <= 100


def test_closing_ends_in_time_when_control_is_down(start):
    sender, _ = start(f"http://127.0.0.1:{free_port()}")
    sender.put(point(1))
    begun = time.monotonic()
    assert not sender.close(0.5)
    assert time.monotonic() - begun < 1.5


def test_put_never_waits(start):
    """A server that accepts and never answers holds up the thread alone."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        sender, _ = start(f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        for step in range(1, 2001):
            sender.put(point(step))
        assert time.monotonic() - begun < 1.0
