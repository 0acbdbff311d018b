import asyncio
import errno
import json
from contextlib import asynccontextmanager

import msgspec
import pytest

from live_serving import route, snapshot
from modelyard.gateway import snapshot as module
from modelyard.gateway.snapshot import Follower, load
from stand_in import standing

TOKEN = "token"
LINE = msgspec.json.encode(snapshot(route("m", "t")))
OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(module, "_PAUSES", (0.001, 0.002))


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def control(*scripts):
    """Connection after connection is sent the pieces of its script and closed; the last is kept open."""
    rest = list(scripts)

    def greet(accepted):
        script = rest.pop(0) if len(rest) > 1 else rest[0]
        accepted.transport.write(b"".join(script))
        if script is not scripts[-1]:
            accepted.transport.close()

    async def start(accept):
        nonlocal port
        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return server

    port = 0
    async with standing(greet, start) as accepted:
        yield f"http://127.0.0.1:{port}", accepted


async def follow(url, kept, names):
    """The names of the routes applied, one snapshot after another, until these have been."""
    applied, done = [], asyncio.Event()

    def apply(taken):
        applied.append([r.name for r in taken.routes])
        if applied[-len(names) :] == names:
            done.set()

    task = asyncio.create_task(Follower(url, TOKEN, kept, apply).run())
    try:
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait([waiting, task], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])
    return applied


def line(name):
    return msgspec.json.encode(snapshot(route(name, "t"))) + b"\n"


def test_what_was_kept_is_there_after_a_restart(tmp_path):
    async def scenario():
        async with control([OK, chunk(line("one") + b"\n"), chunk(line("two"))]) as (url, asked):
            assert await follow(url, tmp_path / "kept", [["one"], ["two"]]) == [["one"], ["two"]]
            assert b"Authorization: Bearer token\r\n" in asked[0].received

    asyncio.run(scenario())
    assert [r.name for r in load(tmp_path / "kept").routes] == ["two"]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_lines_may_be_cut_anywhere(tmp_path, size):
    stream = line("one") + b"\n" + line("two")
    pieces = [chunk(stream[k : k + size]) for k in range(0, len(stream), size)]

    async def scenario():
        async with control([OK, *pieces]) as (url, _):
            assert await follow(url, tmp_path / "kept", [["one"], ["two"]]) == [["one"], ["two"]]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"],
        [b"this is no HTTP\r\n\r\n"],
        [OK, b"zz\r\n"],
        [OK, chunk(b"\n\n")],
        [OK, chunk(LINE[: len(LINE) // 2])],
        [OK, chunk(LINE[: len(LINE) // 2] + b"\n")],
        [OK, chunk(b'{"secret": "no hex", "keys": {}, "routes": []}\n')],
        [OK, chunk(b"\xff\xfe\n")],
    ],
)
def test_whatever_control_answers_it_is_asked_again(tmp_path, bad):
    async def scenario():
        async with control(bad, bad, [OK, chunk(line("good"))]) as (url, asked):
            assert await follow(url, tmp_path / "kept", [["good"]]) == [["good"]]
            assert len(asked) == 3

    asyncio.run(scenario())


def test_control_away_and_back(tmp_path):
    async def scenario():
        first, second = [OK, chunk(line("one"))], [OK, chunk(line("two"))]
        async with control(first, [], [], second) as (url, _):
            assert await follow(url, tmp_path / "kept", [["one"], ["two"]]) == [["one"], ["two"]]

    asyncio.run(scenario())


def test_a_full_disk_does_not_hold_up_a_snapshot(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(module, "write_atomic", full)

    async def scenario():
        async with control([OK, chunk(line("one")), chunk(line("two"))]) as (url, asked):
            assert await follow(url, tmp_path / "kept", [["one"], ["two"]]) == [["one"], ["two"]]
            assert len(asked) == 1

    asyncio.run(scenario())


def test_a_silent_control_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SILENCE", 0.05)

    async def scenario():
        async with control([OK, chunk(line("one"))]) as (url, asked):
            await follow(url, tmp_path / "kept", [["one"], ["one"]])
            assert len(asked) >= 2

    asyncio.run(scenario())


def test_a_snapshot_too_long_is_not_gathered(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LINE", len(line("m")) + 10)

    async def scenario():
        async with control([OK, chunk(bytes(2 * len(line("m"))))], [OK, chunk(line("m"))]) as (url, _):
            await follow(url, tmp_path / "kept", [["m"]])

    asyncio.run(scenario())


@pytest.mark.parametrize("cut", [0, 1, len(LINE) // 2, len(LINE) - 1])
def test_a_half_file_is_as_none(tmp_path, cut):
    (tmp_path / "kept").write_bytes(LINE[:cut])
    assert load(tmp_path / "kept") is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"[]",
        b"\xff\xff",
        json.dumps({"secret": 5, "keys": {}, "routes": []}).encode(),
        json.dumps({"secret": "no hex", "keys": {}, "routes": []}).encode(),
    ],
)
def test_a_corrupt_file_is_as_none(tmp_path, data):
    (tmp_path / "kept").write_bytes(data)
    assert load(tmp_path / "kept") is None
    assert load(tmp_path / "not-there") is None
    assert load(tmp_path) is None
