"""Which replicas may start now: those that have room in the memory for models, and of those that generate one at a
time."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from modelyard.control.services.activity import Activities
from modelyard.control.services.eviction import Resident, choose
from modelyard.control.services.rollout import WantedReplica

_LONGEST_LOAD: Final = 900.0  # seconds; what has not loaded by then holds nobody up any more


class Candidate(Struct, frozen=True, kw_only=True):
    """A replica that should be. `running`: it was let start before; `loading`: and does not answer yet. `there`:
    its process has been let go of, and has not ended."""

    id: str
    replica: WantedReplica
    size: int = 0
    generates: bool = False
    running: bool = False
    loading: bool = False
    there: bool = False


class Decision:
    """What may run (`admitted`, by id), why each of the others has to wait (`held`), and the ids of the deployments
    that are to sleep so that there is room (`evicted`)."""

    def __init__(self, running: Iterable[Candidate]) -> None:
        self.running = list(running)
        self.admitted = {c.id for c in self.running}
        self.held: dict[str, str] = {}
        self.evicted: set[str] = set()

    @property
    def used(self) -> int:
        return sum(c.size for c in self.running)

    def admit(self, one: Candidate) -> None:
        self.admitted.add(one.id)
        self.running.append(one)

    def evict(self, deployments: Iterable[str]) -> None:
        self.evicted |= set(deployments)
        gone = [c for c in self.running if c.replica.deployment in self.evicted]
        self.running = [c for c in self.running if c not in gone]
        self.admitted -= {c.id for c in gone}


class Admission:
    """`budget` is in bytes; None: there is no limit. `clock` is monotonic, in seconds."""

    def __init__(
        self, budget: int | None, activities: Activities, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget, self._activities, self._clock = budget, activities, clock
        self._waiting: dict[str, Candidate] = {}  # in the order in which they came
        self._loading: dict[str, float] = {}  # since when

    def decide(self, candidates: Sequence[Candidate], ending: Mapping[str, int]) -> Decision:
        """`ending`: bytes of processes that are about to end, and still there."""
        decision = Decision(c for c in candidates if c.running)
        now, loading = self._clock(), [c for c in decision.running if c.generates and c.loading]
        self._loading = {c.id: self._loading.get(c.id, now) for c in loading}
        loads = next((c.replica.name for c in loading if now - self._loading[c.id] < _LONGEST_LOAD), None)
        waiting = {c.id: c for c in candidates if not c.running}
        self._waiting = {i: waiting[i] for i in self._waiting if i in waiting} | waiting
        kept = 0  # of what is there or comes free, for those that came before
        for one in self._waiting.values():
            heavy = one.generates and not one.there
            others = sum(size for owner, size in ending.items() if owner != one.id)
            if one.replica.deployment in decision.evicted:
                continue
            if heavy and loads is not None:
                decision.held[one.id] = f"{loads!r} is being loaded"
            elif self._fits(decision, kept + others + one.size):
                decision.admit(one)
                loads = one.replica.name if heavy else loads
            elif self._fits(decision, kept + one.size) or self._make_room(decision, one, kept):
                kept += one.size
                decision.held[one.id] = f"{_size(one.size)} of memory are being freed for it"
            else:
                decision.held[one.id] = self._full(decision, one)
        return decision

    def _fits(self, decision: Decision, size: int) -> bool:
        return self._budget is None or decision.used + size <= self._budget

    def _make_room(self, decision: Decision, one: Candidate, kept: int) -> bool:
        """Have others end; what they hold comes free later."""
        assert self._budget is not None
        by_deployment: dict[str, list[Candidate]] = {}
        for c in decision.running:
            if c.replica.deployment != one.replica.deployment:
                by_deployment.setdefault(c.replica.deployment, []).append(c)
        lacking = decision.used + kept + one.size - self._budget
        chosen = choose(lacking, [self._resident(found) for found in by_deployment.values()])
        decision.evict(chosen or ())
        return chosen is not None

    def _resident(self, candidates: Sequence[Candidate]) -> Resident:
        """One deployment, by its replicas that run."""
        first = candidates[0].replica
        key = first.tenant, first.name
        may_sleep = first.serving.sleep is not None and not first.serving.pinned
        idle = self._activities.idle(key) is not None and not any(c.loading for c in candidates)
        size = sum(c.size for c in candidates)
        last = self._activities.last(key)
        return Resident(id=first.deployment, size=size, last=last, evictable=may_sleep and idle)

    def _full(self, decision: Decision, one: Candidate) -> str:
        assert self._budget is not None
        if one.size > self._budget:
            return f"it takes {_size(one.size)} of memory; models have {_size(self._budget)}"
        return (
            f"it takes {_size(one.size)} of memory; of the {_size(self._budget)} for models "
            f"{_size(decision.used)} are held by others that are busy, pinned, or never sleep"
        )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
