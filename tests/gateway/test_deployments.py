import asyncio
import math
from collections import Counter
from types import SimpleNamespace

import pytest

from live_serving import route
from modelyard.errors import Unavailable
from modelyard.gateway import deployments
from modelyard.gateway.deployments import BUCKETS, Deployment, Meter
from modelyard.gateway.fleet import Line
from modelyard.types.replica import Statistics
from modelyard.types.route import RouteVersion, Serving


def said(line, **counted):
    line.link = SimpleNamespace(statistics=Statistics(**counted))


def test_counts_go_on_over_a_replicas_restart():
    line, meter = Line("unix:/x", "d"), Meter()
    said(line, started_ns=1, rows=10, batches=2)
    meter.learn(line)
    said(line, started_ns=1, rows=15, batches=3)
    meter.learn(line)
    meter.learn(line)
    assert (meter.replicas["rows"], meter.replicas["batches"]) == (15, 3)
    said(line)  # a new connection that has not been asked yet
    meter.learn(line)
    said(line, started_ns=2, rows=20, batches=1)
    meter.learn(line)
    assert (meter.replicas["rows"], meter.replicas["batches"]) == (35, 4)


def test_buckets_hold_their_upper_edge():
    meter = Meter()
    for seconds in (0.0, BUCKETS[0], BUCKETS[0] * 1.01, 1e9):
        meter.add(200, seconds)
    assert meter.buckets[:2] == [2, 1]
    assert meter.buckets[-1] == 1
    meter.add(503, 0.1)
    assert (meter.successes, meter.failures, meter.statuses) == (4, 1, {200: 4, 503: 1})


class Replica:
    """A link as a deployment sees it."""

    def __init__(self, *, usable=True, suspect=False, outstanding=0):
        self.usable, self.suspect, self.outstanding = usable, suspect, outstanding


class Addresses:
    """A fleet whose lines are connected to what stands at their addresses."""

    def __init__(self, **links):
        self.lines = {
            address: SimpleNamespace(link=link, listen=lambda changed: None)
            for address, link in links.items()
        }

    def line(self, address, digest):
        return self.lines[address]


def deployment(fleet, *versions, **fields):
    made = Deployment("default", "m")
    made.update(
        route(
            "m",
            "t",
            *(
                RouteVersion(version=name, digest="d", weight=weight, replicas=tuple(replicas.split()))
                for name, weight, replicas in versions
            ),
            **fields,
        ),
        fleet,
    )
    return made


def chosen(made, wanted="", avoid=None, times=1000):
    found = [made.choose(wanted, avoid) for _ in range(times)]
    return Counter(version.name if (version := one and one[0]) else None for one in found)


def test_versions_are_chosen_by_weight():
    made = deployment(Addresses(a=Replica(), b=Replica()), ("1", 0.7, "a"), ("2", 0.3, "b"))
    share = chosen(made)
    assert set(share) == {"1", "2"}
    assert 550 < share["1"] < 850
    assert made.versions == ["1", "2"]


def test_a_version_without_weight_is_asked_only_by_name():
    made = deployment(Addresses(a=Replica(), b=Replica()), ("1", 1.0, "a"), ("2", 0.0, "b"))
    assert set(chosen(made)) == {"1"}
    assert set(chosen(made, "2")) == {"2"}
    assert set(chosen(made, "3")) == {None}


def test_a_version_whose_replicas_drain_leaves_its_share_to_the_others():
    gone = Replica(usable=False)
    made = deployment(Addresses(a=gone, b=Replica()), ("1", 0.9, "a"), ("2", 0.1, "b"))
    assert set(chosen(made)) == {"2"}
    assert set(chosen(made, "1")) == {None}


def test_the_replica_with_least_under_way_is_asked():
    links = {
        "busy": Replica(outstanding=9),
        "idle": Replica(outstanding=2),
        "stuck": Replica(outstanding=0, suspect=True),
        "drains": Replica(usable=False),
        "away": None,
    }
    made = deployment(Addresses(**links), ("1", 1.0, "busy idle stuck drains away"))
    assert made.choose("")[1] is links["idle"]
    assert made.choose("", links["idle"])[1] is links["busy"]
    links["busy"].usable = links["idle"].usable = False
    assert made.choose("")[1] is links["stuck"]
    assert made.choose("", links["stuck"]) is None


def test_a_request_waits_for_a_replica_that_was_called_ready_a_moment_ago(monkeypatch):
    async def scenario():
        made = deployment(Addresses())
        waiting = asyncio.create_task(made.wait_for_lines(math.inf))
        await asyncio.sleep(0)
        assert not waiting.done()
        version = RouteVersion(version="1", digest="d", weight=1.0, replicas=("a",))
        made.update(route("m", "t", version), Addresses(a=Replica()))
        await waiting
        monkeypatch.setattr(deployments, "REACHING", 0.01)
        with pytest.raises(Unavailable, match="no replica of 'm' is ready"):
            await deployment(Addresses()).wait_for_lines(math.inf)
        monkeypatch.setattr(deployments, "REACHING", 1000.0)
        with pytest.raises(Unavailable):
            await deployment(Addresses()).wait_for_lines(0.0)  # its deadline
        with pytest.raises(Unavailable):
            await deployment(Addresses(), serving=Serving(fallback="other")).wait_for_lines(math.inf)

    asyncio.run(scenario())


def test_a_place_that_comes_free_goes_to_who_waits_longest(monkeypatch):
    monkeypatch.setattr(deployments, "_PATIENCE", 1000.0)

    async def scenario():
        made = deployment(Addresses(), max_queue=2)
        order = []

        async def enter(number):
            await made.enter()
            order.append(number)

        tasks = [asyncio.create_task(enter(n)) for n in range(5)]
        await asyncio.sleep(0)
        assert (order, made.in_flight) == ([0, 1], 2)
        tasks[2].cancel()
        made.leave()
        await tasks[3]
        assert (order, made.in_flight) == ([0, 1, 3], 2)
        made.leave()
        await tasks[4]
        assert (order, made.in_flight) == ([0, 1, 3, 4], 2)
        made.leave()
        made.leave()
        assert made.in_flight == 0

    asyncio.run(scenario())


def test_who_finds_no_place_in_time_is_refused_and_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(deployments, "_PATIENCE", 0.001)

    async def scenario():
        made = deployment(Addresses(), max_queue=1)
        await made.enter()
        found = await asyncio.gather(*(made.enter() for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in found} == {Unavailable}
        assert "full; allowed: 1" in found[0].message
        assert (made.in_flight, len(made._waiting)) == (1, 0)
        made.leave()
        await made.enter()

    asyncio.run(scenario())


def test_a_shrunken_queue_empties_first(monkeypatch):
    monkeypatch.setattr(deployments, "_PATIENCE", 1000.0)

    async def scenario():
        fleet = Addresses()
        made = deployment(fleet, max_queue=3)
        for _ in range(3):
            await made.enter()
        made.update(route("m", "t", max_queue=1), fleet)
        waiting = asyncio.create_task(made.enter())
        await asyncio.sleep(0)
        made.leave()
        made.leave()
        assert made.in_flight == 1
        made.leave()
        await waiting
        assert made.in_flight == 1

    asyncio.run(scenario())


def test_one_cancelled_with_a_place_in_hand_gives_it_on(monkeypatch):
    monkeypatch.setattr(deployments, "_PATIENCE", 1000.0)

    async def scenario():
        made = deployment(Addresses(), max_queue=1)
        await made.enter()
        first, second = asyncio.create_task(made.enter()), asyncio.create_task(made.enter())
        await asyncio.sleep(0)
        made.leave()
        first.cancel()
        await second
        assert first.cancelled()
        assert made.in_flight == 1

    asyncio.run(scenario())
