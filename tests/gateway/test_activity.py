"""What control is told of activity and of sleepers, by an attendant and a server that writes down what it hears."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from live_serving import route
from modelyard.errors import NotFound, Unavailable
from modelyard.gateway.activity import Attendant
from modelyard.gateway.deployments import Deployments
from modelyard.gateway.lane import Turn
from modelyard.types.activity import ActivityReport, Wake
from modelyard.types.route import RouteVersion


class Ear:
    """Control's two paths. `status` is what it answers."""

    def __init__(self):
        self.reports, self.wakes, self.status = [], [], 200

    async def hear(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert "Authorization: Bearer the-token\r\n" in head
        length = next(
            int(x.split(":")[1]) for x in head.lower().split("\r\n") if x.startswith("content-length")
        )
        body = await reader.readexactly(length)
        if head.startswith("POST /internal/wake "):
            self.wakes.append(msgspec.json.decode(body, type=Wake).name)
        else:
            assert head.startswith("POST /internal/activity ")
            self.reports.append(msgspec.json.decode(body, type=ActivityReport).deployments)
        writer.write(b"HTTP/1.1 %d Said\r\ncontent-length: 0\r\n\r\n" % self.status)
        writer.close()


class Lines:
    """A fleet of no replicas."""

    def __init__(self):
        self.links = {}

    def line(self, address, digest):
        return SimpleNamespace(link=self.links.get(address), listen=lambda changed: None, hello=None)

    def keep(self, lines, drain):
        pass


def asleep(name="m", **fields):
    version = RouteVersion(version="1", digest="d", weight=1.0, replicas=())
    return route(name, "text-generation", version, **{"asleep": True, **fields})


def attended(test):
    """Run `test(ear, attendant, deployments)` with a server."""

    async def whole():
        ear = Ear()
        server = await asyncio.start_server(ear.hear, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        deployments = Deployments(Lines())
        try:
            await test(ear, Attendant(f"http://127.0.0.1:{port}", "the-token", deployments), deployments)
        finally:
            server.close()

    asyncio.run(whole())


def test_a_thousand_requests_wake_once():
    async def test(ear, attendant, deployments):
        deployments.update([asleep(), asleep("other")], 0)
        sleeper = deployments.find("default", "m")
        for _ in range(1000):
            attendant.wake(sleeper)
        await attendant.step()
        attendant.wake(sleeper)
        await attendant.step()
        assert ear.wakes == ["m"]
        deployments.update([asleep(asleep=False)], 0)  # it woke,
        await attendant.step()
        deployments.update([asleep()], 0)  # and sleeps again
        attendant.wake(sleeper)
        await attendant.step()
        assert ear.wakes == ["m", "m"]

    attended(test)


def test_a_control_that_is_away_is_told_later():
    async def test(ear, attendant, deployments):
        deployments.update([asleep()], 0)
        ear.status = 503
        attendant.wake(deployments.find("default", "m"))
        for _ in range(2):
            with pytest.raises(ValueError, match="503"):
                await attendant.step()
        ear.status = 200
        await attendant.step()
        assert ear.wakes == ["m", "m", "m"]
        await attendant.step()
        assert len(ear.wakes) == 3

    attended(test)


def waits(deployment, seconds=20.0):
    loop = asyncio.get_running_loop()
    turn = Turn(tenant="default", key="k", prompt=4, until=loop.time() + seconds)
    return loop.create_task(deployment.lane.enter(turn))


def test_one_that_was_deleted_refuses_all_that_wait():
    async def test(ear, attendant, deployments):
        deployments.update([asleep()], 0)
        gone = deployments.find("default", "m")
        generating = waits(gone)
        batch = asyncio.ensure_future(gone.moved(asyncio.get_running_loop().time() + 20))
        await asyncio.sleep(0)
        assert (gone.running, gone.waiting) == (-1, 2)  # nobody took one of its places here
        attendant.wake(gone)
        ear.status = 404
        with pytest.raises(ValueError, match="404"):  # of the report, which is on another path
            await attendant.step()
        for waiting in (generating, batch):
            with pytest.raises(NotFound, match="no model 'm'"):
                await waiting

    attended(test)


def test_the_snapshot_without_it_refuses_them_too():
    async def test(ear, attendant, deployments):
        deployments.update([asleep()], 0)
        gone = deployments.find("default", "m")
        batch = asyncio.ensure_future(gone.moved(asyncio.get_running_loop().time() + 20))
        await asyncio.sleep(0)
        deployments.update([], 0)
        with pytest.raises(NotFound):
            await batch

    attended(test)


def test_what_waits_is_told_why_when_its_deadline_comes():
    async def test(ear, attendant, deployments):
        deployments.update([asleep(why="there is no memory")], 0)
        with pytest.raises(Unavailable, match=r"was not loaded before .*; came: there is no memory"):
            await waits(deployments.find("default", "m"), 0.01)

    attended(test)


def test_what_waits_for_one_that_cannot_be_started_is_refused_at_once():
    async def test(ear, attendant, deployments):
        deployments.update([asleep()], 0)
        waiting = waits(deployments.find("default", "m"))
        await asyncio.sleep(0)
        deployments.update([asleep(asleep=False)], 0)
        with pytest.raises(Unavailable, match="no replica of 'm' is ready"):
            await waiting

    attended(test)


def test_reports_name_what_is_busy_and_what_was_used(monkeypatch):
    now = 100.0
    monkeypatch.setattr("modelyard.gateway.activity.time", SimpleNamespace(monotonic=lambda: now))

    async def test(ear, attendant, deployments):
        nonlocal now
        deployments.update([asleep("a"), asleep("b", asleep=False)], 0)
        a, b = (deployments.find("default", n) for n in "ab")
        await attendant.step()
        assert ear.reports == [()]
        waiting = waits(a)
        await asyncio.sleep(0)
        await attendant.step()  # at once: another one is busy
        (told,) = ear.reports[-1]
        assert (told.name, told.running, told.waiting) == ("a", 0, 1)
        b._version(b_route(), Lines()).meter.add(200, 0.1)
        await attendant.step()
        assert len(ear.reports) == 2  # nothing is another that cannot wait
        now += 2
        ear.status = 500
        with pytest.raises(ValueError, match="500"):
            await attendant.step()
        ear.status = 200
        await attendant.step()
        assert [(t.name, t.waiting) for t in ear.reports[-1]] == [("a", 1), ("b", 0)]
        now += 2
        await attendant.step()
        assert [t.name for t in ear.reports[-1]] == ["a"]
        waiting.cancel()

    attended(test)


def b_route():
    return RouteVersion(version="1", digest="d", weight=1.0, replicas=())
