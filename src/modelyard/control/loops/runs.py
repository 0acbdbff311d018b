"""Runs: start what is queued, settle what has ended, fence off what is silent, end what was cancelled."""

import logging
import sys
import time
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from modelyard.control.loops.processes import Processes
from modelyard.control.platform import Platform
from modelyard.control.services import run_folders, run_queue
from modelyard.store.work import Run
from modelyard.types.process import ProcessSpec, ProcessStatus

_log = logging.getLogger(__name__)
GROUP: Final = "runs"
_CANCEL_SECONDS: Final = 10.0  # for a run to stop by itself
_PAUSE: Final = 1.0
_STORING_TRIES: Final = 5
_NICE: Final = 5  # serving comes first
_SIGTERM: Final = -15
_NOT_TAKEN: Final = {
    "code": "internal",
    "message": "the run's outputs could not be taken over; the platform's log says why",
}


class RunLoop:
    """`step` is called by one thread alone."""

    def __init__(self, platform: Platform, processes: Processes) -> None:
        self._platform, self._processes = platform, processes
        self._untold: set[str] = set()  # ids of processes that the launcher could not be told of yet
        self._cancels: dict[str, float] = {}  # run -> when it is ended by force, on the monotonic clock
        self._tries: dict[str, int] = {}  # run -> how often its outputs could not be stored

    def step(self) -> float:
        """Raises Unavailable where no launcher answers."""
        table = self._processes.table()
        kept = [run for run in run_queue.running(self._platform) if self._look(run, table)]
        if self._apply(kept):
            kept += self._start(table)
            self._apply(kept)
        return _PAUSE

    def _look(self, run: Run, table: dict[str, ProcessStatus]) -> bool:
        """Whether the run's process should go on. What needs another look at it is done here."""
        status = table.get(process_id(run.id, run.attempt))
        if status is None or status.phase == "ended":
            untold = status is None and process_id(run.id, run.attempt) in self._untold
            return untold or self._settle(run, status)
        if self._platform.leases.expired(run.id, run.attempt):
            _log.warning("run %s, attempt %d: silent; another attempt takes its place", run.id, run.attempt)
            run_queue.fence(self._platform, run, "was silent for too long")
            return False
        return not self._cancel_is_due(run)

    def _settle(self, run: Run, status: ProcessStatus | None) -> bool:
        code = status.exit_code if status else None
        try:
            run_queue.settle(self._platform, run, _said(code), own_failure=_own_failure(status))
        except OSError as error:
            return self._storing_failed(run, error)
        except SQLAlchemyError:
            raise  # a database that cannot be used now says nothing of the run
        except Exception:
            _log.exception("the outputs of run %s cannot be taken over", run.id)
            run_queue.give_up(self._platform, run, _NOT_TAKEN)
        self._cancels.pop(run.id, None)
        self._tries.pop(run.id, None)
        return False

    def _storing_failed(self, run: Run, error: OSError) -> bool:
        """A full disk may be emptied; a run does not wait for it for ever. Its process stays in the table."""
        self._tries[run.id] = tries = self._tries.get(run.id, 0) + 1
        _log.error("the outputs of run %s cannot be stored: %s", run.id, error)
        if tries < _STORING_TRIES:
            return True
        message = f"the outputs could not be stored: {error.strerror}"
        run_queue.give_up(self._platform, run, {"code": "storage_failed", "message": message})
        return False

    def _cancel_is_due(self, run: Run) -> bool:
        if not run.cancel_requested:
            return False
        due = self._cancels.setdefault(run.id, time.monotonic() + _CANCEL_SECONDS)
        return time.monotonic() >= due

    def _start(self, table: dict[str, ProcessStatus]) -> list[Run]:
        """Claim what may start. A run whose last attempt is still being ended waits."""
        busy = frozenset(name.split("/")[1] for name in table if name.startswith("run/"))
        started: list[Run] = []
        while (queued := run_queue.next_queued(self._platform, busy)) is not None:
            run = run_queue.claim(self._platform, queued.id)
            if run is not None:
                started.append(run)
                self._untold.add(process_id(run.id, run.attempt))
        return started

    def _apply(self, runs: list[Run]) -> bool:
        told = self._processes.want(GROUP, [self._spec(run) for run in runs])
        if told:
            self._untold.clear()
        return told

    def _spec(self, run: Run) -> ProcessSpec:
        folder = run_folders.folder_of(self._platform, run.id)
        attempt = run_folders.attempt_folder(self._platform, run.id, run.attempt)
        return ProcessSpec(
            id=process_id(run.id, run.attempt),
            argv=(sys.executable, "-m", "modelyard.runs.process", str(folder), str(run.attempt)),
            cwd=str(folder),
            log=str(attempt / run_folders.LOG_NAME),
            restart="never",
            nice=_NICE,
        )


def process_id(run: str, attempt: int) -> str:
    return f"run/{run}/{attempt}"


def _own_failure(status: ProcessStatus | None) -> bool:
    """A process that is in no table was ended with its launcher, and SIGTERM comes from there too."""
    return status is not None and status.exit_code != _SIGTERM


def _said(code: int | None) -> str:
    if code is None:
        return "was gone"
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
