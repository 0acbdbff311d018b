import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import DeadlineExceeded
from modelyard.serving import frames
from modelyard.serving.frames import Kind, Parser
from modelyard.serving.link import Link, ReplicaLost
from modelyard.types.replica import Hello, Statistics
from modelyard.types.tensor import Signature

HELLO = Hello(
    name="m",
    version="1",
    digest="d",
    task="t",
    platform="onnx",
    signature=Signature(inputs=(), outputs=()),
)


class Wire(asyncio.Transport):
    """Keeps what is written; `ended` once the link has given up."""

    def __init__(self):
        super().__init__()
        self.written, self.ended, self.unread = b"", False, 0

    def writelines(self, parts):
        self.written += b"".join(parts)

    def get_write_buffer_size(self):
        return self.unread

    def abort(self):
        self.ended = True


def connected():
    link, wire = Link(asyncio.get_running_loop()), Wire()
    link.connection_made(wire)
    link.data_received(frames.pack(Kind.HELLO, 0, msgspec.json.encode(HELLO)))
    return link, wire


def answer(number, body):
    return frames.answer_head(number, 200, 0, b"", len(body)) + body


def ask(link, body=b"", left=60.0):
    return link.ask((0, 0, b""), [body], len(body), left)


async def outcome(future):
    try:
        return bytes((await future).body)
    except (ReplicaLost, DeadlineExceeded) as error:
        return type(error)


@given(st.integers(0, 8), st.data())
def test_each_gets_its_own_answer_or_the_loss_of_the_replica(count, data):
    answered = data.draw(st.permutations(range(count)))
    answered = answered[: data.draw(st.integers(0, count))]
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))

    async def scenario():
        link, wire = connected()
        asked = [ask(link, b"question %d" % n) for n in range(count)]
        await asyncio.sleep(0)
        sent = Parser().feed(wire.written)
        assert [bytes(frames.read_request(f.payload).body) for f in sent] == [
            b"question %d" % n for n in range(count)
        ]
        stream = b"".join(answer(sent[n].id, b"answer %d" % n) for n in answered)
        stream += frames.answer_head(4_000_000_000, 200, 0, b"", 5)  # a stray one, and cut short
        while stream:
            size = sizes[0]
            sizes.append(sizes.pop(0))
            link.data_received(stream[:size])
            stream = stream[size:]
        assert link.outstanding == count - len(answered)
        link.connection_lost(None)
        found = [await outcome(future) for future in asked]
        assert found == [b"answer %d" % n if n in answered else ReplicaLost for n in range(count)]
        assert link.lost.done()
        assert not link.usable

    asyncio.run(scenario())


def test_a_lost_link_ends_at_once_what_it_is_asked():
    async def scenario():
        link, wire = connected()
        told = link.count()
        link.connection_lost(None)
        await asyncio.wait_for(told, 5)
        assert await asyncio.wait_for(outcome(ask(link)), 5) is ReplicaLost
        await asyncio.wait_for(link.count(), 5)
        assert wire.written == b""

    asyncio.run(scenario())


def test_a_deadline_ends_the_wait_and_a_late_answer_reaches_nobody():
    async def scenario():
        link, _ = connected()
        late, other = ask(link, left=1.0), ask(link, left=100.0)
        link.sweep(asyncio.get_running_loop().time() + 2.0)
        assert await outcome(late) is DeadlineExceeded
        assert link.suspect
        assert link.outstanding == 2
        link.data_received(answer(1, b"late") + answer(2, b"good"))
        assert await outcome(other) == b"good"
        assert (link.outstanding, link.suspect) == (0, False)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "garbage",
    [
        bytes(16),
        frames.pack(Kind.ANSWER, 1, b"x"),
        frames.pack(Kind.REQUEST, 1, b""),
        frames.pack(Kind.STATISTICS, 1, b"{}"),
        frames.pack(Kind.HELLO, 1, b"again"),
    ],
)
def test_what_is_no_answer_ends_the_connection(garbage):
    async def scenario():
        link, wire = connected()
        link.data_received(garbage)
        assert wire.ended

    asyncio.run(scenario())


def test_statistics_and_draining():
    async def scenario():
        link, _ = connected()
        told = link.count()
        link.data_received(frames.pack(Kind.STATISTICS, 0, msgspec.json.encode(Statistics(rows=3))))
        await told
        assert link.statistics.rows == 3
        assert link.usable
        link.data_received(frames.pack(Kind.DRAIN, 0))
        assert not link.usable

    asyncio.run(scenario())


def test_a_replica_that_does_not_read_is_left_aside_and_can_be_closed():
    async def scenario():
        link, wire = connected()
        wire.unread = 65 << 20
        link.sweep(0.0)
        assert not link.usable
        link.close()
        assert wire.ended  # at once, not when it has read

    asyncio.run(scenario())
