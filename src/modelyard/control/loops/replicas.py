"""Replicas: start those that should be, see which answer, let new versions serve when they do."""

import dataclasses
import hashlib
import logging
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard.cluster import table as launched
from modelyard.control.loops.admission import Admission, Candidate
from modelyard.control.loops.processes import Processes
from modelyard.control.loops.replica_process import Needs, Start, needs_of, spec_of
from modelyard.control.loops.replica_size import Sizes, resident
from modelyard.control.loops.rolling import LEAVING, Rolling
from modelyard.control.platform import Platform
from modelyard.control.services import models, rollout, sleeping
from modelyard.control.services.readiness import ReplicaStatus
from modelyard.control.services.rollout import WantedReplica
from modelyard.errors import ModelyardError, Unavailable
from modelyard.serving.probe import probe
from modelyard.store.tables import DEFAULT_TENANT
from modelyard.trust.processes import tree
from modelyard.types.process import ProcessSpec, ProcessStatus

_log = logging.getLogger(__name__)
GROUP: Final = "replicas"
_PAUSE: Final = 1.0
_PAUSE_STARTING: Final = 0.05
_PAUSE_WAITING: Final = 0.2
_REPLICA: Final = "replica/"  # how their processes' names begin
_PROBES_AT_ONCE: Final = 8
_PROBE_EVERY: Final = 2.0  # seconds between two looks at a replica that answers
_HUNG: Final = 10.0  # seconds without an answer and without any work done, after which it is started anew
_LONGEST_WORK: Final = 600.0  # seconds that a replica that is put to sleep may still work on a request
_CRASHES: Final = 3  # starts after which it is called failed


@dataclass(frozen=True, kw_only=True)
class _Life:
    """One life of a replica's process."""

    id: str
    pid: int
    started_at: float | None


@dataclass(frozen=True, kw_only=True)
class _Sign:
    """The last sign of life: when it was given and what the process had computed by then, in seconds; and when
    it was last looked for. Times are monotonic."""

    given: float
    worked: float
    looked: float


@dataclass(frozen=True)
class _Lingering:
    """A process that is let go of. It stays until `until`, and, while it works on something, until `ends`; both are
    monotonic."""

    spec: ProcessSpec
    until: float

    @property
    def ends(self) -> float:
        return self.until + _LONGEST_WORK


class ReplicaLoop:
    """`step` is called by one thread alone."""

    def __init__(self, platform: Platform, processes: Processes) -> None:
        self._platform, self._processes = platform, processes
        self._answered: dict[_Life, _Sign] = {}
        self._hung: set[_Life] = set()
        self._retired: set[_Life] = set()  # of a start that has changed
        self._lives: set[_Life] = set()
        self._rolling = Rolling(_replicas_before(platform))
        self._lingering: dict[str, _Lingering] = {}
        self._owners: dict[str, WantedReplica] = {}  # of each process
        self._broken: dict[str, dict[str, str]] = {}  # digest -> why its package cannot be served here
        self._needs: dict[str, Needs] = {}  # digest -> how its process is started
        self._sizes = Sizes(platform.home.packages, platform.config.model_bytes or 0)
        self._admission = Admission(platform.config.model_bytes, platform.activities)
        self._held: dict[str, str] = {}  # replica -> why it may not start yet
        self._probers = ThreadPoolExecutor(_PROBES_AT_ONCE, thread_name_prefix="probe")

    def step(self) -> float:
        """Raises Unavailable where no launcher answers; what is known of the replicas stays then."""
        wanted = self._awake(rollout.wanted_replicas(self._platform))
        self._lay_out(wanted)
        wanted, admitted = self._admit(wanted)
        before, specs = self._rolling.current, self._roll(admitted)
        hung = {
            life.id for life in self._hung
        }  # left out, so that they are ended; wanted again when they have
        lasting = [spec for name, spec in specs.items() if name not in hung]
        self._processes.want(GROUP, [*lasting, *self._linger(before, specs)])
        statuses = self._look(wanted, self._processes.table())
        changed = self._platform.readiness.update(statuses)
        promoted = rollout.promote(self._platform)
        if changed or promoted:
            self._platform.changes.tell()
        states = {s.state for version in statuses.values() for s in version.values()}
        return _PAUSE_STARTING if "starting" in states else _PAUSE_WAITING if self._held else _PAUSE

    def _awake(self, wanted: list[WantedReplica]) -> list[WantedReplica]:
        """Without those that have nothing to do any more: they are put to sleep."""
        self._platform.activities.keep({(w.tenant, w.name) for w in wanted})
        idle = sleeping.idle_too_long(self._platform, wanted)
        sleeping.put_to_sleep(self._platform, idle)
        return [w for w in wanted if w.deployment not in idle]

    def close(self) -> None:
        """End the threads that look at replicas."""
        self._probers.shutdown(wait=False, cancel_futures=True)

    def _lay_out(self, wanted: Sequence[WantedReplica]) -> None:
        """Make packages/<digest>/ of each version, and see what its process needs."""
        before, self._broken = self._broken, {}
        digests = {w.digest: w.version for w in wanted}
        self._needs = {digest: needs for digest, needs in self._needs.items() if digest in digests}
        for digest, version in digests.items():
            folder = self._platform.home.packages / digest
            if digest in self._needs and folder.is_dir():
                continue
            try:
                if not folder.is_dir():
                    with self._platform.database.read() as session:
                        models.materialise(self._platform, session, version, folder)
                self._needs[digest] = needs_of(self._platform, digest)
            except (ModelyardError, OSError) as error:
                self._broken[digest] = _fault(error)
                if self._broken[digest] != before.get(digest):
                    _log.error("the package %s cannot be served: %s", digest, error)

    def _admit(self, wanted: Sequence[WantedReplica]) -> tuple[list[WantedReplica], list[WantedReplica]]:
        """Those that are wanted, but for what is put to sleep to make room; and those of them that may run now."""
        candidates = [self._candidate(w) for w in wanted if w.digest not in self._broken]
        decision = self._admission.decide(candidates, self._ending(candidates))
        self._held = decision.held
        sleeping.put_to_sleep(self._platform, decision.evicted)
        awake = [w for w in wanted if w.deployment not in decision.evicted]
        return awake, [w for w in awake if self._id(w) in decision.admitted]

    def _candidate(self, wanted: WantedReplica) -> Candidate:
        name = self._id(wanted)
        known = self._platform.readiness.of(*wanted.key).get(wanted.replica)
        state = known.state if known is not None else "starting"
        limited = self._platform.config.model_bytes is not None and state != "failed"
        return Candidate(
            id=name,
            replica=wanted,
            size=self._sizes.of(wanted.digest, wanted.serving) if limited else 0,
            generates=self._needs[wanted.digest].generates,
            running=name in self._rolling.current,
            loading=state == "starting",
            there=name in self._lingering,
        )

    def _ending(self, candidates: Sequence[Candidate]) -> dict[str, int]:
        """Bytes of replicas that are let go of and have not ended."""
        if self._platform.config.model_bytes is None:
            return {}
        running = {c.id for c in candidates if c.running}
        table = self._processes.table()
        return {
            name: resident(status.pid)
            for name, status in table.items()
            if status.pid is not None and name.startswith(_REPLICA) and name not in running
        }

    def _roll(self, wanted: Sequence[WantedReplica]) -> dict[str, ProcessSpec]:
        """The start of each replica; of those that have another than before, the lives until now are over."""
        there = [w for w in wanted if w.digest not in self._broken]
        specs = {self._id(w): self._spec(w) for w in there}
        self._owners |= {self._id(w): w for w in there}
        before = self._rolling.current
        if not self._platform.readiness.looked.is_set():  # whether they answer is not known yet
            specs = {name: before.get(name, spec) for name, spec in specs.items()}
        answering = {life.id for life in self._answered if life not in self._retired}
        rolled = self._rolling.roll(specs, {self._id(w): w.key for w in there}, answering, time.monotonic())
        changed = {name for name, spec in rolled.items() if before.get(name, spec) != spec}
        self._retired |= {life for life in self._lives if life.id in changed}
        return rolled

    def _linger(self, before: dict[str, ProcessSpec], specs: dict[str, ProcessSpec]) -> list[ProcessSpec]:
        """Replicas that were let go of a moment ago: the gateway may still be sending to them."""
        now, asleep = time.monotonic(), rollout.asleep(self._platform)
        for name in before.keys() - specs.keys():
            self._lingering[name] = _Lingering(before[name], now + LEAVING)
        self._lingering = {
            name: one
            for name, one in self._lingering.items()
            if name not in specs and (one.until > now or (self._works_on(name, asleep) and one.ends > now))
        }
        self._owners = {n: w for n, w in self._owners.items() if n in specs or n in self._lingering}
        return [one.spec for one in self._lingering.values()]

    def _works_on(self, name: str, asleep: Collection[str]) -> bool:
        """Whether a replica of a deployment that sleeps has a request that came just before."""
        owner = self._owners.get(name)
        if owner is None or owner.deployment not in asleep:
            return False
        return self._platform.activities.running((owner.tenant, owner.name)) > 0

    def _look(
        self, wanted: Sequence[WantedReplica], table: dict[str, ProcessStatus]
    ) -> dict[tuple[str, str], dict[int, ReplicaStatus]]:
        lives = {
            _Life(id=s.id, pid=s.pid, started_at=s.started_at) for s in table.values() if s.pid is not None
        }
        self._answered = {life: sign for life, sign in self._answered.items() if life in lives}
        self._hung &= lives
        self._retired &= lives
        self._lives = lives
        now = time.monotonic()
        asked = [(w, life) for w in wanted if (life := self._life(w, table)) and self._due(life, now)]
        answers = self._probers.map(self._answers, [w for w, _ in asked])
        for (w, life), answered in zip(asked, answers, strict=True):
            self._note(life, answered)
            if answered and self._platform.config.model_bytes is not None:
                self._sizes.measure(w.digest, w.serving, life.pid)
        found: dict[tuple[str, str], dict[int, ReplicaStatus]] = {}
        for w in wanted:
            found.setdefault(w.key, {})[w.replica] = self._status(w, table)
        return found

    def _due(self, life: _Life, now: float) -> bool:
        """Whether to look at it: at once until it answers, now and then afterwards, never when given up."""
        sign = self._answered.get(life)
        return life not in self._hung | self._retired and (sign is None or now - sign.looked >= _PROBE_EVERY)

    def _note(self, life: _Life, answered: bool) -> None:
        """A replica says nothing while it computes: only one that does not compute either is hung."""
        sign, now, worked = self._answered.get(life), time.monotonic(), _worked(life.pid)
        if answered or (sign is not None and worked > sign.worked):
            self._answered[life] = _Sign(given=now, worked=worked, looked=now)
        elif sign is not None and now - sign.given > _HUNG:
            _log.error("the replica %s has not answered for %g s and is started anew", life.id, _HUNG)
            del self._answered[life]
            self._hung.add(life)
        elif sign is not None:
            self._answered[life] = dataclasses.replace(sign, looked=now)

    def _life(self, wanted: WantedReplica, table: dict[str, ProcessStatus]) -> _Life | None:
        status = table.get(self._id(wanted))
        if status is None or status.pid is None:
            return None
        return _Life(id=status.id, pid=status.pid, started_at=status.started_at)

    def _answers(self, wanted: WantedReplica) -> bool:
        try:
            return probe(f"unix:{self._socket(wanted)}").hello.digest == wanted.digest
        except Unavailable:
            return False

    def _status(self, wanted: WantedReplica, table: dict[str, ProcessStatus]) -> ReplicaStatus:
        address = f"unix:{self._socket(wanted)}"
        if wanted.digest in self._broken:
            return ReplicaStatus(state="failed", address=address, error=self._broken[wanted.digest])
        if (why := self._held.get(self._id(wanted))) is not None:
            return ReplicaStatus(state="waiting", address=address, why=why)
        status = table.get(self._id(wanted))
        if status is None:
            return ReplicaStatus(state="starting", address=address)
        restarts = max(status.starts - 1, 0)
        life = self._life(wanted, table)
        leaving = life in self._retired or self._id(wanted) in self._rolling.leaving
        if life in self._answered and not leaving:
            return ReplicaStatus(state="ready", address=address, restarts=restarts)
        fault = status.fault or _crash(status)
        return ReplicaStatus(
            state="failed" if fault else "starting", address=address, error=fault, restarts=restarts
        )

    def _id(self, wanted: WantedReplica) -> str:
        owner = wanted.name if wanted.tenant == DEFAULT_TENANT else f"{wanted.tenant}:{wanted.name}"
        return f"{_REPLICA}{owner}/{wanted.number}/{wanted.replica}"

    def _socket(self, wanted: WantedReplica) -> Path:
        """Short, for a socket's name is: of the process and of what it serves."""
        name = hashlib.sha256(f"{wanted.deployment}/{wanted.digest}/{wanted.replica}".encode()).hexdigest()[
            :12
        ]
        return self._platform.home.sockets / f"r-{name}"

    def _spec(self, wanted: WantedReplica) -> ProcessSpec:
        name = self._id(wanted)
        start = Start(
            id=name,
            file=name.replace("/", "-").replace(":", "-"),
            name=wanted.name,
            number=wanted.number,
            digest=wanted.digest,
            socket=self._socket(wanted),
            serving=wanted.serving,
        )
        return spec_of(self._platform, start, self._needs[wanted.digest])


def _replicas_before(platform: Platform) -> dict[str, ProcessSpec]:
    """What the launcher keeps of an earlier control."""
    kept = launched.load(platform.home.launcher_table)
    return {r.spec.id: r.spec for r in kept if r.spec.id.startswith(_REPLICA)}


def _worked(pid: int) -> float:
    """Seconds of processor time of the process and of those below it, as a sandbox's; 0 where it is gone."""
    return sum(_processor_time(one) for one in tree(pid))


def _processor_time(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _crash(status: ProcessStatus) -> dict[str, str] | None:
    """A replica that ends again and again before it answers, and leaves no word of why."""
    if status.phase not in ("waiting", "ended") or status.exit_code is None or status.starts < _CRASHES:
        return None
    code = status.exit_code
    how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return {"code": "process_died", "message": f"the replica {how} before it was ready; its log says why"}


def _fault(error: ModelyardError | OSError) -> dict[str, str]:
    if isinstance(error, ModelyardError):
        return {k: str(v) for k, v in error.to_dict().items()}
    return {"code": "storage_failed", "message": f"the package cannot be laid out: {error.strerror}"}
