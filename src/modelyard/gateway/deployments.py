"""The deployments of a snapshot: who is asked, and how much may be under way."""

import asyncio
import math
import random
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import Final

from modelyard.errors import ModelyardError, NotFound, Unavailable
from modelyard.gateway.fleet import Fleet, Line
from modelyard.gateway.lane import Lane
from modelyard.serving.link import Link
from modelyard.types.generation import GENERATING, Usage
from modelyard.types.replica import Hello, Statistics
from modelyard.types.route import Route, RouteVersion

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REACHING: Final = 2.0
"""Seconds that a request waits for the gateway to hear of a replica that control calls ready, and to reach it."""
_PATIENCE: Final = 0.02  # seconds that a request waits for a place; a refusal is owed in under 0.05
_COUNTED: Final = tuple(name for name in Statistics.__struct_fields__ if name != "started_ns")


FIRST: Final = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
)
EACH: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
WHOLE: Final = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
)
"""Seconds: the edges of vLLM's histograms, as far as dashboards tell them apart."""


class Histogram:
    """Counts by upper edge, in seconds."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.edges, seconds)] += 1
        self.total += seconds


class Meter:
    """What was counted of one version here. `replicas` adds up what all its replicas have said, dead ones
    too."""

    __slots__ = (
        "buckets",
        "each",
        "failures",
        "first",
        "replicas",
        "seconds",
        "statuses",
        "successes",
        "tokens",
        "whole",
    )

    def __init__(self) -> None:
        self.successes = 0
        self.failures = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.statuses: dict[int, int] = {}
        self.replicas: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        self.tokens = Usage()
        self.first, self.each, self.whole = Histogram(FIRST), Histogram(EACH), Histogram(WHOLE)

    def generated(self, usage: Usage, first: float | None, seconds: float) -> None:
        """One answer of a model that generates: `first` seconds to its first token, of `seconds` in all."""
        self.tokens = Usage(
            prompt=self.tokens.prompt + usage.prompt,
            cached=self.tokens.cached + usage.cached,
            completion=self.tokens.completion + usage.completion,
        )
        self.whole.add(seconds)
        if first is not None:
            self.first.add(first)
            if usage.completion > 1:
                self.each.add((seconds - first) / (usage.completion - 1))

    def add(self, status: int, seconds: float) -> None:
        if status < 400:
            self.successes += 1
        else:
            self.failures += 1
        self.seconds += seconds
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def learn(self, line: Line) -> None:
        """Take what the line's replica counted since it was last asked; a new process begins at zero
        again."""
        if line.link is None or not line.link.statistics.started_ns:
            return
        said, known = line.link.statistics, line.counted
        fresh = said.started_ns != known.started_ns
        for name in self.replicas:
            self.replicas[name] += getattr(said, name) - (0 if fresh else getattr(known, name))
        line.counted = said


class Version:
    """One version behind a deployment."""

    def __init__(self, route: RouteVersion, lines: tuple[Line, ...], meter: Meter) -> None:
        self.name = route.version
        self.digest = route.digest
        self.weight = route.weight
        self.lines = lines
        self.meter = meter

    def usable(self) -> list[Link]:
        """Replicas that can be asked now."""
        return [line.link for line in self.lines if line.link is not None and line.link.usable]

    def best(self, avoid: Link | None = None) -> Link | None:
        """The usable replica with the fewest requests; one that does not move comes last."""
        best, least = None, (True, 1 << 62)
        for line in self.lines:
            link = line.link
            if link is not None and link is not avoid and link.usable:
                load = (link.suspect, link.outstanding)
                if load < least:
                    best, least = link, load
        return best

    def hello(self) -> Hello | None:
        return next((hello for line in self.lines if (hello := line.hello)), None)


class Deployment:
    """A route with its lines; it lives on over snapshots, so that counts and what is under way stay right."""

    def __init__(self, tenant: str, name: str) -> None:
        self.tenant, self.name = tenant, name
        self.in_flight = 0
        self.meters: dict[str, Meter] = {}
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._moved: set[asyncio.Future[None]] = set()
        self._refusal: ModelyardError | None = None
        self.asleep = False
        self._by_name: dict[str, Version] = {}
        self._weighted: list[Version] = []
        self.lane = Lane(name, self.candidates)

    def update(self, route: Route, fleet: Fleet) -> None:
        self.task = route.task
        self.generates = route.task in GENERATING if route.generates is None else route.generates
        self.created_at = route.created_at
        self.timeout = route.serving.timeout or route.timeout
        self.max_queue = self.lane.max_waiting = route.max_queue
        self.serving = route.serving
        was_asleep, self.asleep = self.asleep, route.asleep
        self.lane.loading = self.loading if route.asleep else None
        self._why = route.why
        self.lane.first_token_seconds = route.serving.first_token or math.inf
        self._by_name = {v.version: self._version(v, fleet) for v in route.versions}
        self._weighted = sorted(self._by_name.values(), key=lambda v: -v.weight)
        for line in self.lines:
            line.listen(self._move)
        self._move()
        if was_asleep and not self.asleep and not self.lines:  # it could not be started
            self.lane.fail_waiting(Unavailable(f"no replica of {self.name!r} is ready"))

    @property
    def running(self) -> int:
        """Requests that replicas work on."""
        return self.lane.running + self.in_flight - len(self._moved)

    @property
    def waiting(self) -> int:
        """Requests that wait for a replica."""
        return self.lane.waiting + len(self._moved)

    @property
    def counted(self) -> int:
        """Requests that were answered, since this process began."""
        return sum(meter.successes + meter.failures for meter in self.meters.values())

    def loading(self) -> Unavailable:
        """What is said to a request whose deadline comes before a replica does."""
        return Unavailable(
            f"the model {self.name!r} was not loaded before the request's deadline", came=self._why or None
        )

    def refuse(self, error: ModelyardError) -> None:
        """It is gone: end all that waits for a replica."""
        self._refusal = error
        self.lane.fail_waiting(error)
        self._move()
        self._refusal = None

    async def moved(self, until: float) -> None:
        """Return when a replica may have become ready, or `until` (monotonic) has come. Raises what `refuse` is
        told."""
        loop = asyncio.get_running_loop()
        moved: asyncio.Future[None] = loop.create_future()
        self._moved.add(moved)
        timer = loop.call_later(max(until - time.monotonic(), 0), _tell, moved)
        try:
            await moved
        finally:
            timer.cancel()
            self._moved.discard(moved)

    async def wait_for_lines(self, until: float) -> None:
        """Return once there is a replica that control calls ready, or that is to be woken: callers may have heard
        so before the gateway did. Raises Unavailable after `REACHING`, or at `until`; at once where another
        deployment answers instead."""
        until = 0.0 if self.serving.fallback else min(until, time.monotonic() + REACHING)
        while not self.lines and not self.asleep:
            if time.monotonic() >= until:
                raise Unavailable(f"no replica of {self.name!r} is ready")
            await self.moved(until)

    def _move(self) -> None:
        self.lane.pump()
        for moved in self._moved:
            if self._refusal is not None and not moved.done():
                moved.set_exception(self._refusal)
            _tell(moved)

    async def enter(self) -> None:
        """Take one of the `max_queue` places; `leave` gives it back. Raises Unavailable.

        Where all are taken it waits a moment for the next that comes free. A refusal costs as much as an
        answer, and who is refused at once asks again at once: the refusals would take the time of the answers.
        """
        if self.in_flight < self.max_queue:
            self.in_flight += 1
            return
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(place)
        timer = loop.call_later(_PATIENCE, _deny, place)
        try:
            granted = await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.result():
                self.leave()
            raise
        finally:
            timer.cancel()
            while self._waiting and self._waiting[0].done():
                self._waiting.popleft()
        if not granted:
            raise Unavailable(f"the queue of {self.name!r} is full", allowed=self.max_queue)

    def leave(self) -> None:
        """Give the place to who has waited longest."""
        while self._waiting and self.in_flight <= self.max_queue:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(True)
                return
        self.in_flight -= 1

    @property
    def versions(self) -> list[str]:
        """The one with most traffic first."""
        return [version.name for version in self._weighted]

    @property
    def lines(self) -> list[Line]:
        return [line for version in self._weighted for line in version.lines]

    def all_versions(self) -> list[Version]:
        return self._weighted

    def choose(self, wanted: str, avoid: Link | None = None) -> tuple[Version, Link] | None:
        """A version by weight among those that have a usable replica, and its best replica; None where
        there is none.

        `wanted` is a version that the caller named; `avoid` a replica that has just been lost.
        """
        candidates = self.candidates(wanted)
        found = [(v, link) for v in candidates if (link := v.best(avoid)) is not None]
        if len(found) <= 1:
            return found[0] if found else None
        return random.choices(found, [version.weight for version, _ in found])[0]

    def candidates(self, wanted: str) -> list[Version]:
        """The versions that may be asked: the one that the caller named, or those with a weight."""
        if wanted:
            named = self._by_name.get(wanted)
            return [named] if named is not None else []
        if len(self._weighted) == 1:
            return self._weighted
        return [version for version in self._weighted if version.weight > 0]

    def usable(self, wanted: str) -> list[Link]:
        """Replicas that can be asked now."""
        return [link for version in self.candidates(wanted) for link in version.usable()]

    def hello(self, version: str) -> Hello | None:
        """What a ready replica of a version ("" for any) said."""
        asked = self._weighted if not version else [v for v in self._weighted if v.name == version]
        return next((hello for v in asked if (hello := v.hello())), None)

    def _version(self, route: RouteVersion, fleet: Fleet) -> Version:
        lines = tuple(fleet.line(address, route.digest) for address in route.replicas)
        return Version(route, lines, self.meters.setdefault(route.version, Meter()))


def _tell(moved: "asyncio.Future[None]") -> None:
    if not moved.done():
        moved.set_result(None)


def _deny(place: asyncio.Future[bool]) -> None:
    if not place.done():
        place.set_result(False)


class Deployments:
    """All tenants' deployments."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._table: dict[tuple[str, str], Deployment] = {}
        self._shared: dict[str, Deployment] = {}
        self.ready = False
        self.generating: frozenset[str] = frozenset()
        """Names of deployments, of any tenant, whose models generate."""

    def update(self, routes: Iterable[Route], drain: float) -> None:
        table: dict[tuple[str, str], Deployment] = {}
        for route in routes:
            key = route.tenant, route.name
            deployment = table[key] = self._table.get(key) or Deployment(*key)
            deployment.update(route, self._fleet)
        for gone in self._table.keys() - table.keys():
            self._table[gone].refuse(NotFound(f"no model {gone[1]!r}"))
        self._table = table
        self.generating = frozenset(d.name for d in table.values() if d.generates)
        self._shared = {d.name: d for d in reversed(table.values()) if d.serving.shared}
        self._fleet.keep([line for d in table.values() for line in d.lines], drain)
        self.ready = True

    def find(self, tenant: str, name: str) -> Deployment | None:
        """The tenant's own, else one that its owner shares with all."""
        own = self._table.get((tenant, name))
        return own if own is not None else self._shared.get(name)

    def all(self) -> list[Deployment]:
        return list(self._table.values())


class TenantCatalog:
    """The deployments of one tenant, as dialects see them (dialects.Catalog)."""

    def __init__(self, deployments: Deployments, tenant: str) -> None:
        self._deployments = deployments
        self._tenant = tenant

    @property
    def ready(self) -> bool:
        return self._deployments.ready

    def entries(self) -> list[Deployment]:
        seen = {d.name: d for d in self._deployments.all() if d.serving.shared}
        seen |= {d.name: d for d in self._deployments.all() if d.tenant == self._tenant}
        return sorted(seen.values(), key=lambda d: d.name)

    def entry(self, name: str) -> Deployment | None:
        return self._deployments.find(self._tenant, name)
