import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serving import frames
from modelyard.serving.frames import Frame, FrameError, Kind, Parser

requests = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
    st.binary(max_size=300),
)
answers = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    st.integers(0, 255),
    st.binary(max_size=40),
    st.binary(max_size=300),
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in chunks of these sizes, over and over."""
    chunks, at = [], 0
    while at < len(data):
        for size in sizes or [len(data)]:
            chunks.append(data[at : at + size])
            at += size
    return chunks


def feed(parser: Parser, chunks: list[bytes]) -> list[Frame]:
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


@given(st.lists(requests, max_size=6), st.lists(st.integers(1, 50), max_size=5))
def test_requests_survive_any_chunking(items, sizes):
    stream = b"".join(
        frames.request_head(n, dialect, op, left, headers, len(body)) + body
        for n, dialect, op, left, headers, body in items
    )
    found = feed(parser := Parser(), cut(stream, sizes))
    assert [(f.kind, f.id) for f in found] == [(Kind.REQUEST, item[0]) for item in items]
    for frame, (_, dialect, op, left, headers, body) in zip(found, items, strict=True):
        read = frames.read_request(frame.payload)
        assert (*read[:4], bytes(read.body)) == (dialect, op, left, headers, body)
    assert parser.pending == 0


@given(st.lists(answers, max_size=6), st.lists(st.integers(1, 50), max_size=5))
def test_answers_survive_any_chunking(items, sizes):
    stream = b"".join(
        frames.answer_head(n, status, flags, headers, len(body)) + body
        for n, status, flags, headers, body in items
    )
    found = feed(Parser(), cut(stream, sizes))
    assert [(f.id, tuple(frames.read_answer(f.payload))) for f in found] == [(i[0], i[1:]) for i in items]


@given(
    st.dictionaries(
        st.text(st.characters(codec="latin-1", exclude_characters=":\n"), min_size=1),
        st.text(st.characters(codec="latin-1", exclude_characters="\n")),
    )
)
def test_headers_come_out_as_they_went_in(headers):
    assert frames.read_headers(frames.pack_headers(headers)) == headers


@pytest.mark.parametrize("headers", [{"a\n": "b"}, {"a:b": "c"}, {"a": "b\nc"}, {"a": "b" * 70_000}])
def test_headers_that_would_change_are_refused(headers):
    with pytest.raises(FrameError):
        frames.pack_headers(headers)


@pytest.mark.parametrize("length", [0, 4, frames.MAX_FRAME + 1, 2**32 - 1])
def test_a_length_out_of_bounds_ends_the_stream(length):
    with pytest.raises(FrameError):
        Parser().feed(struct.pack("<IBI", length, Kind.REQUEST, 1))


@given(st.binary(max_size=300))
def test_garbage_is_a_frame_error_or_waits(data):
    parser = Parser(limit=1000)
    try:
        found = parser.feed(data)
    except FrameError:
        return
    for frame in found:
        for read in (frames.read_request, frames.read_answer):
            try:
                read(frame.payload)
            except FrameError:
                continue
    assert parser.pending <= len(data)


def test_many_small_chunks_of_a_large_frame_cost_little(monkeypatch):
    body = bytes(1 << 20)
    stream = frames.request_head(1, 0, 0, 0, b"", len(body)) + body
    parser, cuts = Parser(), []
    whole = Parser._cut
    monkeypatch.setattr(Parser, "_cut", lambda self, data: cuts.append(len(data)) or whole(self, data))
    found = feed(parser, cut(stream, [64]))
    assert len(found) == 1
    assert len(cuts) <= 3  # the first chunk, and once when all is there: not once a chunk
