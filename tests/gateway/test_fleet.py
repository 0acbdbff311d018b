import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from modelyard.errors import DeadlineExceeded
from modelyard.gateway import fleet as module
from modelyard.gateway.fleet import Fleet, Line
from modelyard.serving import frames
from modelyard.serving.frames import Kind
from modelyard.serving.link import ReplicaLost
from modelyard.types.replica import Hello
from modelyard.types.tensor import Signature
from stand_in import standing, until


@asynccontextmanager
async def replica(path, digest="d", greets=True):
    """A replica's socket without a replica: its address and its connections."""
    hello = Hello(
        name="m",
        version="1",
        digest=digest,
        task="t",
        platform="onnx",
        signature=Signature(inputs=(), outputs=()),
    )
    greeting = frames.pack(Kind.HELLO, 0, msgspec.json.encode(hello)) if greets else b""

    async def start(accept):
        return await asyncio.get_running_loop().create_unix_server(accept, path)

    async with standing(lambda accepted: accepted.transport.write(greeting), start) as accepted:
        yield f"unix:{path}", accepted


def ask(link, left=60.0):
    return link.ask((0, 0, b""), [b"body"], 4, left)


def test_a_line_connects_again_after_a_loss(tmp_path):
    async def scenario():
        async with replica(tmp_path / "s") as (address, accepted):
            line = Line(address, "d")
            line.start()
            await until(lambda: line.hello is not None)
            accepted[0].transport.abort()
            await until(lambda: len(accepted) == 2 and line.hello is not None)
            await line.stop()
            await until(lambda: any(one.ended for one in accepted))
        assert line.link is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "address", ["unix:/nowhere/at/all", "tcp:127.0.0.1:no", f"tcp:127.0.0.1:{10**12}", "unix:" + "x" * 300]
)
def test_an_address_that_is_none_is_tried_again(monkeypatch, address):
    monkeypatch.setattr(module, "_RETRY", (0.0, 0.001))
    connect, tries = Line._connect, []
    monkeypatch.setattr(Line, "_connect", lambda line: tries.append(line) or connect(line))

    async def scenario():
        line = Line(address, "d")
        line.start()
        await until(lambda: len(tries) >= 3)
        assert line.hello is None
        await line.stop()

    asyncio.run(scenario())


def test_a_replica_of_another_digest_is_let_go(tmp_path):
    async def scenario():
        async with replica(tmp_path / "s", digest="other") as (address, accepted):
            line = Line(address, "d")
            line.start()
            await until(lambda: any(one.ended for one in accepted))
            assert line.hello is None
            await line.stop()

    asyncio.run(scenario())


def test_a_line_stopped_before_the_hello_leaves_no_connection(tmp_path):
    async def scenario():
        async with replica(tmp_path / "s", greets=False) as (address, accepted):
            line = Line(address, "d")
            line.start()
            await until(lambda: accepted)
            await line.stop()
            await until(lambda: all(one.ended for one in accepted))

    asyncio.run(scenario())


def test_what_a_leaving_line_was_asked_still_ends_by_its_deadline(tmp_path):
    async def scenario():
        fleet = Fleet()
        fleet.start()
        async with replica(tmp_path / "s") as (address, _accepted):
            line = fleet.line(address, "d")
            await until(lambda: line.hello is not None)
            asked = ask(line.link, left=0.05)
            fleet.keep((), drain=1000.0)
            with pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(asked, 20)
            await asyncio.wait_for(fleet_stopped(fleet), 20)

    async def fleet_stopped(fleet):
        for task in list(fleet._leaving):
            task.cancel()
        await fleet.stop()

    asyncio.run(scenario())


def test_a_leaving_line_ends_after_its_answers(tmp_path):
    async def scenario():
        fleet = Fleet()
        async with replica(tmp_path / "s") as (address, accepted):
            kept, line = fleet.line(address, "d"), fleet.line(address, "d")
            assert kept is line
            await until(lambda: line.hello is not None)
            asked = ask(line.link)
            fleet.keep((), drain=1000.0)
            assert fleet.line(address, "d") is not line
            accepted[0].transport.write(frames.answer_head(1, 200, 0, b"", 2) + b"ok")
            assert (await asyncio.wait_for(asked, 20)).body == b"ok"
            await until(lambda: any(one.ended for one in accepted))
            await fleet.stop()

    asyncio.run(scenario())


def test_what_is_still_asked_after_the_drain_is_told(tmp_path):
    async def scenario():
        async with replica(tmp_path / "s") as (address, _accepted):
            line = Line(address, "d")
            line.start()
            await until(lambda: line.hello is not None)
            asked = ask(line.link)
            await line.stop()
            with pytest.raises(ReplicaLost):
                await asyncio.wait_for(asked, 20)

    asyncio.run(scenario())
