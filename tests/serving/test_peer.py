import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving import frames, peer
from modelyard.serving.frames import FrameError, Kind
from modelyard.serving.peer import Peer


@pytest.fixture
def pair():
    """A peer and the other end of its connection."""
    mine, other = socket.socketpair()
    with mine, other:
        other.setblocking(False)
        yield Peer(mine), other


def request(number, body):
    return frames.request_head(number, 0, 0, 1000, b"", len(body)) + body


@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(1, 40))
def test_requests_are_taken_in_their_order_however_they_are_cut(sent, size):
    stream = b"".join(request(n, body) for n, body in enumerate(sent)) + frames.pack(Kind.STATISTICS, 7)
    mine, other = socket.socketpair()
    with mine, other:
        one = Peer(mine)
        found = [f for k in range(0, len(stream), size) for f in one.receive(stream[k : k + size], 5)]
        assert [(f.kind, f.id) for f in found] == [(Kind.STATISTICS, 7)]
        taken = [one.take() for _ in range(len(one.waiting))]
        bodies = [bytes(frames.read_request(t.frame.payload).body) for t in taken]
        assert (bodies, {t.arrived for t in taken}) == (sent, {5} if sent else set())
        assert one.idle


def test_reads_stop_while_too_much_waits(pair, monkeypatch):
    monkeypatch.setattr(peer, "MAX_WAITING", 100)
    one, _ = pair
    one.receive(request(1, bytes(60)), 0)
    assert one.readable
    one.receive(request(2, bytes(60)), 0)
    assert not one.readable
    one.take()
    assert one.readable


def test_answers_leave_as_fast_as_they_are_read(pair, monkeypatch):
    monkeypatch.setattr(peer, "MAX_UNSENT", 1 << 20)
    one, other = pair
    parts = [bytes([k]) * 100_000 for k in range(30)]
    for part in parts:
        one.send(part[:10], part[10:])
    one.flush()
    assert one.choked
    got = b""
    while one.unsent:
        got += other.recv(1 << 20)
        one.flush()
    got += other.recv(1 << 20)
    while len(got) < 3_000_000:
        got += other.recv(1 << 20)
    assert got == b"".join(parts)
    assert one.idle
    assert not one.choked


def test_a_closed_peer_keeps_nothing(pair):
    one, _ = pair
    one.receive(request(1, b"x"), 0)
    one.send(b"answer")
    one.close()
    one.send(b"more")
    assert (len(one.waiting), one.unsent) == (0, False)


def test_garbage_is_a_frame_error(pair):
    with pytest.raises(FrameError):
        pair[0].receive(bytes(20), 0)
