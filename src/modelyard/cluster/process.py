"""One supervised process: started or adopted, started again by its policy, stopped with grace."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from modelyard.cluster import local
from modelyard.cluster.restart import Backoff
from modelyard.cluster.table import Record
from modelyard.types.process import ProcessPhase, ProcessSpec, ProcessStatus

log = logging.getLogger(__name__)

_FAULT_LIMIT = 64 * 1024


class Supervised:
    """`changed` is called after each change of what `status` and `record` say."""

    def __init__(self, spec: ProcessSpec, marker: str, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.phase: ProcessPhase = "starting"
        self._marker = marker
        self._changed = changed
        self._handle: local.Handle | None = None
        self._known = Record(spec=spec)
        self._backoff = Backoff()
        self._born = time.monotonic()
        self._stop_asked = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    @property
    def stopping(self) -> bool:
        return self._stop_asked.is_set()

    @property
    def record(self) -> Record:
        identity = self._handle.identity if self._handle else None
        return msgspec.structs.replace(self._known, identity=identity, ended=self.phase == "ended")

    @property
    def status(self) -> ProcessStatus:
        known = self._known
        return ProcessStatus(
            id=self.spec.id,
            phase=self.phase,
            pid=self._handle.pid if self._handle else None,
            started_at=known.started_at,
            starts=known.starts,
            exit_code=known.exit_code,
            fault=known.fault,
        )

    def start(self) -> None:
        """Start it now and keep it as its policy says."""
        self._start_once()
        self._life = asyncio.create_task(self._live(), name=f"process {self.spec.id}")

    def adopt(self, record: Record) -> None:
        """Take over from a killed launcher: what lives, or the end of what was not to come back."""
        self._known = msgspec.structs.replace(record, spec=self.spec)
        identity = record.identity
        if record.ended and self.spec.restart == "never":
            self._end(record.exit_code)
        elif identity is not None and identity.alive():
            self._handle, self.phase = local.Handle(identity), "running"
            self._life = asyncio.create_task(self._live(), name=f"process {self.spec.id}")
        elif identity is not None and self.spec.restart == "never":
            self._end(None)  # it ended while nobody watched; its status went with its parent
        else:
            self.start()

    async def stop(self, grace: float | None = None) -> None:
        """SIGTERM, `grace` seconds (by default the spec's), SIGKILL to the group; returns at its end."""
        self._stop_asked.set()
        if self._life is None:
            return
        if self._handle:
            self._handle.terminate()
        done, _ = await asyncio.wait({self._life}, timeout=self.spec.stop_grace if grace is None else grace)
        if not done and self._handle:
            log.warning("process %s did not end in time and is killed", self.spec.id)
            self._handle.kill_group()
        await self._life

    def kill(self) -> None:
        """SIGKILL to the group at once."""
        if self._handle:
            self._handle.kill_group()

    async def _live(self) -> None:
        while True:
            lived = await self._one_life()
            if self.stopping or self.spec.restart == "never":
                break
            if await self._stopped_within(self._backoff.pause(lived)):
                break
            self._start_once()
        self.phase = "ended"
        self._changed()

    def _start_once(self) -> None:
        self._known = Record(spec=self.spec, started_at=time.time(), starts=self._known.starts + 1)
        self._born = time.monotonic()
        try:
            self._handle = local.start(self.spec, self._marker)
            self.phase = "running"
        except OSError as error:
            log.error("process %s cannot be started: %s", self.spec.id, error)
            fault = {"code": "cannot_start", "message": f"cannot be started: {error.strerror}"}
            self._known = msgspec.structs.replace(self._known, exit_code=127, fault=fault)
        self._changed()

    async def _one_life(self) -> float:
        """Wait for the end of the present life, note how it ended, and say how long it was, in seconds."""
        if self._handle is None:
            self.phase = "waiting"
            self._changed()
            return 0.0
        code = await self._handle.ended()
        self._handle = None
        self._end(code)
        return time.monotonic() - self._born

    def _end(self, code: int | None) -> None:
        fault = _read_fault(self.spec.fault_file) or self._known.fault
        self._known = msgspec.structs.replace(self._known, exit_code=code, fault=fault)
        gone = self.stopping or self.spec.restart == "never"
        self.phase = "ended" if gone else "waiting"
        log.info("process %s ended with status %s", self.spec.id, code)
        self._changed()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stop_asked.wait()
        except TimeoutError:
            return False
        return True


def _read_fault(path: str | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        with Path(path).open("rb") as f:
            return msgspec.json.decode(f.read(_FAULT_LIMIT), type=dict[str, str])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        return {
            "code": "internal",
            "message": f"it left a fault that cannot be read ({type(error).__name__})",
        }
