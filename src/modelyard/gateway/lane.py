"""The queue before replicas that generate: no more is given to them than they have slots, so that who is next is
decided here, and a request whose first token would come too late is refused at once."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from modelyard.errors import Busy, DeadlineExceeded, ModelyardError, Unavailable
from modelyard.gateway.fairness import FairQueue
from modelyard.gateway.prefixes import Prefixes
from modelyard.serving.link import Link
from modelyard.types.generation import Usage
from modelyard.types.route import Priority

if TYPE_CHECKING:
    from modelyard.gateway.deployments import Version

_PRIORITIES: Final[tuple[Priority, ...]] = ("live", "batch")
_SMOOTH: Final = 0.1  # weight of the newest measurement
_BYTES_A_TOKEN: Final = 4.0
_LEAST_SHARE: Final = 8  # turns that a tenant may have waiting, however many tenants there are


@dataclass(kw_only=True, eq=False)
class Turn:
    """A request that wants slots. Times are of the monotonic clock, in seconds."""

    tenant: str
    key: str
    prompt: int  # bytes
    blocks: tuple[int, ...] = ()
    slots: int = 1
    priority: Priority = "live"
    wanted: str = ""  # a version
    avoid: Link | None = None
    until: float = math.inf
    place: "asyncio.Future[Place]" = field(init=False)

    @property
    def tokens(self) -> float:
        """Of the prompt, about."""
        return self.prompt / _BYTES_A_TOKEN


class Place:
    """Slots of a replica. `leave` is due once, whatever happened."""

    def __init__(self, lane: "Lane", turn: Turn, version: "Version", link: Link, expected: float) -> None:
        self.version, self.link = version, link
        self._lane, self._turn = lane, turn
        self._expected = expected
        self._charged = turn.tokens * (1 - expected)
        self._usage = Usage()
        self._began = time.monotonic()
        self._first: float | None = None
        self._left = False

    @property
    def first_token(self) -> float | None:
        """Seconds from here to the first token."""
        return self._first

    def counted(self, usage: Usage) -> None:
        """The request has used this much by now."""
        if usage.prompt and not self._usage.prompt:
            self._lane.measured_cache(self._turn, self.link, self._expected, usage)
        if usage.completion and self._first is None:
            self._first = time.monotonic() - self._began
            self._lane.measured_first(self.link, usage, self._first)
        self._usage = usage
        used = float(usage.prompt - usage.cached + usage.completion)
        if usage.prompt:
            self._lane.queue(self._turn.priority).charge(self._turn.tenant, used - self._charged)
            self._charged = used

    def leave(self) -> None:
        if not self._left:
            self._left = True
            self._lane.leave(self._turn, self.link, time.monotonic() - self._began)


class Replica:
    """What a lane knows of one life of a replica. `prefill`: tokens of prompts a second, smoothed."""

    def __init__(self, link: Link) -> None:
        hello = link.hello.result()
        self.slots = hello.slots
        self.used = 0
        self.prefill = hello.prefill
        self.prefixes = Prefixes()


class Lane:
    """One deployment's. `candidates` gives the versions that may be asked, with their weights."""

    def __init__(self, name: str, candidates: "Callable[[str], Sequence[Version]]") -> None:
        self.name = name
        self.max_waiting = 512
        self.first_token_seconds = math.inf
        self.loading: Callable[[], ModelyardError] | None = None  # while replicas are only being started
        self._candidates = candidates
        self._queues = {priority: FairQueue[Turn]() for priority in _PRIORITIES}
        self._seconds = 0.0  # a turn takes, smoothed
        self._replicas: WeakKeyDictionary[Link, Replica] = WeakKeyDictionary()
        self._credit: dict[str, float] = {}  # version -> what it is owed by its weight
        self.running = 0

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def queue(self, priority: Priority) -> FairQueue[Turn]:
        return self._queues[priority]

    async def enter(self, turn: Turn) -> Place:
        """Wait for slots.

        Raises:
            Busy: the tenant has as many waiting as it may.
            Unavailable: all have; or the first token would come after `first_token_seconds` or `turn.until`; or no
                replica was started in time.
            DeadlineExceeded: the time is up.
        """
        self._admit(turn)
        turn.place = asyncio.get_running_loop().create_future()
        queue = self._queues[turn.priority]
        queue.push(turn.tenant, turn.key, turn)
        self.pump()
        timer = asyncio.get_running_loop().call_later(
            max(turn.until - time.monotonic(), 0), self._late, turn.place
        )
        try:
            return await turn.place
        except asyncio.CancelledError:
            if turn.place.done() and not turn.place.cancelled() and turn.place.exception() is None:
                turn.place.result().leave()
            raise
        finally:
            timer.cancel()
            queue.remove(turn.tenant, turn.key, turn)

    def pump(self) -> None:
        """Give free slots to those whose turn it is. Called whenever either may have changed."""
        for priority in _PRIORITIES:
            queue = self._queues[priority]
            while (turn := queue.peek()) is not None:
                found = self._find(turn, spare=1 if priority == "batch" else 0)
                if found is None:
                    return  # those of lower priority do not overtake
                queue.pop()
                if turn.place.done():  # it does not wait any more
                    queue.left(turn.tenant)
                    continue
                self._give(turn, *found)

    def leave(self, turn: Turn, link: Link, seconds: float) -> None:
        """A place is free again."""
        self.replica(link).used -= turn.slots
        self.running -= 1
        self._seconds = seconds if not self._seconds else self._smoothed(self._seconds, seconds)
        self._queues[turn.priority].left(turn.tenant)
        self.pump()

    def fail_waiting(self, error: ModelyardError) -> None:
        """Nothing will ever serve them: the deployment is gone."""
        for queue in self._queues.values():
            while queue.peek() is not None:
                turn = queue.pop()
                queue.left(turn.tenant)
                if not turn.place.done():
                    turn.place.set_exception(error)

    def measured_cache(self, turn: Turn, link: Link, expected: float, usage: Usage) -> None:
        self.replica(link).prefixes.correct(turn.blocks, expected, usage.cached / max(usage.prompt, 1))

    def measured_first(self, link: Link, usage: Usage, seconds: float) -> None:
        """How fast it reads prompts, of those long enough to tell."""
        read = usage.prompt - usage.cached
        if read >= 64 and seconds > 0:
            known = self.replica(link)
            known.prefill = self._smoothed(known.prefill or read / seconds, read / seconds)

    def predicted(self, turn: Turn) -> float:
        """Seconds to the turn's first token: what waits ahead of it by the order of turns, and its own prompt."""
        there = [self.replica(link) for v in self._candidates(turn.wanted) for link in v.usable()]
        rate, slots = sum(r.prefill for r in there), sum(r.slots for r in there)
        if not rate or not slots:
            return 0.0
        queue = self._queues[turn.priority]
        free = slots - sum(r.used for r in there)
        ahead = min(len(queue), (queue.waiting(turn.tenant) + 1) * max(queue.tenants, 1))
        rounds = max(ahead + turn.slots - free, 0) / slots
        each = rate / len(there)
        return rounds * self._seconds + turn.tokens / each

    def _admit(self, turn: Turn) -> None:
        queue = self._queues[turn.priority]
        most = self.max_waiting
        share = max(most // max(queue.tenants, 1), _LEAST_SHARE)
        if len(queue) >= most:
            raise Unavailable(f"the queue of {self.name!r} is full", allowed=most)
        if queue.tenants > 1 and queue.waiting(turn.tenant) >= share:
            raise Busy(f"too many of your requests wait for {self.name!r}", allowed=share)
        if turn.priority == "batch":
            return
        limit = min(self.first_token_seconds, turn.until - time.monotonic())
        wait = self.predicted(turn)
        if wait > limit:
            raise Late(
                f"{self.name!r} has so much to do that the first token would come too late",
                came=f"about {wait:.1f} s",
                allowed=f"{limit:.1f} s",
                retry_after=math.ceil(wait - limit),
            )

    def _find(self, turn: Turn, *, spare: int) -> "tuple[Version, Link, float] | None":
        """A replica with room. A request that wants more slots than there are gets all of one that is idle."""
        free: list[tuple[Version, list[Link]]] = []
        for version in self._candidates(turn.wanted):
            links = [
                link
                for link in version.usable()
                if link is not turn.avoid and _room(self.replica(link), turn, spare)
            ]
            if links:
                free.append((version, links))
        if not free:
            return None
        version, links = self._by_weight(free)
        best = max(links, key=lambda link: self._score(link, turn))
        return version, best, self.replica(best).prefixes.share(turn.blocks)

    def _by_weight(self, free: "list[tuple[Version, list[Link]]]") -> "tuple[Version, list[Link]]":
        """Smooth weighted round robin: over time each version gets its share."""
        if len(free) == 1:
            return free[0]
        for version, _ in free:
            self._credit[version.name] = self._credit.get(version.name, 0.0) + version.weight
        chosen = max(free, key=lambda f: self._credit[f[0].name])
        self._credit[chosen[0].name] -= sum(version.weight for version, _ in free)
        return chosen

    def _give(self, turn: Turn, version: "Version", link: Link, expected: float) -> None:
        known = self.replica(link)
        known.used += turn.slots
        known.prefixes.add(turn.blocks)
        self.running += 1
        self._queues[turn.priority].charge(turn.tenant, turn.tokens * (1 - expected))
        turn.place.set_result(Place(self, turn, version, link, expected))

    def _score(self, link: Link, turn: Turn) -> tuple[bool, float, int]:
        """A replica that moves before one that does not; then what it has read less how busy it is."""
        known = self.replica(link)
        busy = known.used / max(known.slots, 1)
        return (not link.suspect, known.prefixes.share(turn.blocks) - busy, -known.used)

    def replica(self, link: Link) -> Replica:
        """What is known of it; a connection that is made anew is to a new one."""
        known = self._replicas.get(link)
        if known is None:
            known = self._replicas[link] = Replica(link)
        return known

    def _late(self, place: "asyncio.Future[Place]") -> None:
        if not place.done():
            late = DeadlineExceeded("the deadline passed before the request could start")
            place.set_exception(self.loading() if self.loading is not None else late)

    @staticmethod
    def _smoothed(before: float, now: float) -> float:
        return before + _SMOOTH * (now - before)


class Late(Unavailable):
    """The first token would come too late. `retry_after` in seconds."""

    def __init__(self, what: str, *, came: object, allowed: object, retry_after: int) -> None:
        super().__init__(what, came=came, allowed=allowed)
        self.retry_after = retry_after


def _room(replica: Replica, turn: Turn, spare: int) -> bool:
    kept = spare if replica.slots > 1 else 0
    wanted = min(turn.slots, replica.slots - kept)
    return replica.slots - kept - replica.used >= wanted
