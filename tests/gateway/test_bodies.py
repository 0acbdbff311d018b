import asyncio
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import DeadlineExceeded, InvalidInput, TooLarge, Unavailable, UnsupportedMedia
from modelyard.gateway import bodies
from modelyard.gateway.bodies import Body, Budget, CallerGone
from modelyard.gateway.limits import Limits


def receiver(chunks, gone=False):
    messages = [
        {"type": "http.request", "body": c, "more_body": k + 1 < len(chunks)} for k, c in enumerate(chunks)
    ]
    if gone:
        messages = [dict(messages[0], more_body=True), {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    return receive


def read(chunks, encoding=None, limits=None, gone=False):
    body = Body(Budget(limits or Limits()))
    asyncio.run(bodies.read(receiver(chunks, gone), body, encoding))
    return b"".join(body.chunks)


@given(
    st.binary(max_size=5000), st.integers(1, 700), st.sampled_from([None, b"identity", b"gzip", b"deflate"])
)
def test_bodies_come_out_whole_however_they_are_cut(data, size, encoding):
    packed = {b"gzip": gzip.compress, b"deflate": zlib.compress}.get(encoding, bytes)(data)
    chunks = [packed[k : k + size] for k in range(0, len(packed), size)] or [b""]
    assert read(chunks, encoding) == data


def test_limits_and_the_shared_budget():
    limits = Limits(body=100, buffered=150)
    budget = Budget(limits)
    first, second = Body(budget), Body(budget)
    first.add(bytes(100))
    with pytest.raises(Unavailable):
        second.add(bytes(51))
    second.release()
    first.release()
    assert budget.held == 0
    with pytest.raises(TooLarge):
        first.add(bytes(101))
    with pytest.raises(TooLarge):
        read([gzip.compress(bytes(10_000))], b"gzip", limits)


def test_a_bomb_is_not_unpacked_beyond_the_limit():
    body = Body(Budget(Limits(body=5 << 20)))
    with pytest.raises(TooLarge):
        asyncio.run(bodies.read(receiver([gzip.compress(bytes(100 << 20))]), body, b"gzip"))
    assert body.size <= 6 << 20


def test_what_is_wrong_is_named():
    with pytest.raises(UnsupportedMedia, match="br"):
        read([b""], b"br")
    for broken in (b"", b"x", gzip.compress(b"abc")[:-1], gzip.compress(b"abc") + b"y"):
        with pytest.raises(InvalidInput):
            read([broken], b"gzip")
    with pytest.raises(CallerGone):
        read([b"x"], gone=True)


def test_the_smaller_deadline_counts():
    assert bodies.seconds_left(30, None) == 30
    assert bodies.seconds_left(30, b"0.5") == 0.5
    assert bodies.seconds_left(30, b"99") == 30
    with pytest.raises(DeadlineExceeded):
        bodies.seconds_left(30, b"0")
