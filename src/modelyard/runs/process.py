"""The process of one attempt: `python -m modelyard.runs.process RUN_FOLDER ATTEMPT`.

It reads spec.json, does the work and writes attempt-N/outcome.json as its last act. Its log is
standard output.
Exit status 0: succeeded; 1: failed or cancelled, as the outcome says; 2: there is no attempt to make.
"""

import errno
import logging
import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from modelyard.errors import Cancelled, InvalidInput, ModelyardError, ScriptFailed
from modelyard.files import remove_tree, write_atomic
from modelyard.runs import load
from modelyard.runs.context import OUTCOME_NAME, SPEC_NAME, RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.runs.sender import EventSender
from modelyard.runs.stopping import stop_on_signals
from modelyard.types.run import RunOutcome, RunSpec

_log = logging.getLogger("modelyard.run")
_FLUSH_SECONDS = 30.0  # control is started again in 5 s
_FLUSH_SECONDS_STOPPING = 2.0  # within the launcher's patience
_NO_MEMORY = ("can't allocate memory", "bad_alloc", "bad allocation")  # torch's, C++'s and ONNX Runtime's
_STOP_SECONDS = 6.0  # between being told to stop and ending the process, work or no work


def main(argv: list[str]) -> int:
    """Make the attempt. Returns the exit status."""
    # OpenMP's threads wait asleep, not spinning: spinning ones made training on busy cores eight times slower.
    # libgomp reads this when it is loaded, which is later, with torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _start_log()
    try:
        folder, spec = _read_arguments(argv)
    except ModelyardError as error:
        _log.error("%s", error)
        return 2
    return _Attempt(folder, spec).make()


class _Attempt:
    """One attempt: its reporter and its one outcome."""

    def __init__(self, folder: Path, spec: RunSpec) -> None:
        self.reporter = RunReporter()
        self.context = RunContext(spec=spec, folder=folder, reporter=self.reporter)
        self._sender = EventSender(spec, self.reporter.stop) if spec.control_url else None
        self.reporter.sink = self._sender
        self._publishing = threading.Lock()
        self._published = False

    def make(self) -> int:
        self._empty()
        stop_on_signals(self.reporter.stop)
        if self._sender is not None:
            self._sender.start()
        threading.Thread(target=self._end_when_stopped, name="stopping", daemon=True).start()
        outcome = self._work()
        if self._sender is not None:
            stopping = self.reporter.stopping is not None
            if not self._sender.close(_FLUSH_SECONDS_STOPPING if stopping else _FLUSH_SECONDS):
                _log.warning("not all events reached control")
        self._publish(outcome)
        return 0 if outcome.state == "succeeded" else 1

    def _empty(self) -> None:
        """What an earlier process of this attempt left is not this one's."""
        (self.context.attempt / OUTCOME_NAME).unlink(missing_ok=True)
        if self.context.outputs.exists():
            remove_tree(self.context.outputs)
        self.context.outputs.mkdir(parents=True)
        self.context.checkpoints.mkdir(parents=True, exist_ok=True)

    def _work(self) -> RunOutcome:
        spec, start = self.context.spec, time.monotonic()
        _log.info("%s run %s, attempt %d", spec.kind, spec.id, spec.attempt)
        try:
            outcome = load(spec.kind).run(self.context)
            self.reporter.check()  # told to stop just before the end: nothing is published then
        except Cancelled as error:
            _log.info("%s", error)
            return RunOutcome(state="cancelled", error=error.to_dict())
        except ScriptFailed as error:
            _log.error("%s", error)  # the script's own traceback stands above
            return RunOutcome(state="failed", error=error.to_dict())
        except ModelyardError as error:
            _log.error("%s", error, exc_info=error)
            return RunOutcome(state="failed", error=error.to_dict())
        except Exception as error:
            _log.exception("the run failed")
            return RunOutcome(state="failed", error=_general(error))
        _log.info("%s in %.1f s", outcome.state, time.monotonic() - start)
        return outcome

    def _publish(self, outcome: RunOutcome) -> None:
        with self._publishing:
            if not self._published:
                self._published = True
                write_atomic(self.context.attempt / OUTCOME_NAME, msgspec.json.encode(outcome))

    def _end_when_stopped(self) -> None:
        """Work inside a library does not call `check`: it is ended with the process, unpublished."""
        self.reporter.wait_for_stop()
        threading.Event().wait(_STOP_SECONDS)
        reason = Cancelled(self.reporter.stopping or "")
        _log.warning("%s; the work did not end by itself", reason)
        self._publish(RunOutcome(state="cancelled", error=reason.to_dict()))
        os._exit(1)


def _read_arguments(argv: list[str]) -> tuple[Path, RunSpec]:
    if len(argv) != 2 or not argv[1].isdecimal():
        raise InvalidInput("usage: python -m modelyard.runs.process RUN_FOLDER ATTEMPT")
    folder = Path(argv[0]).absolute()
    try:
        spec = msgspec.json.decode((folder / SPEC_NAME).read_bytes(), type=RunSpec)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{SPEC_NAME} cannot be read: {error}") from None
    if spec.attempt != int(argv[1]):
        raise InvalidInput(f"{SPEC_NAME} is of another attempt", came=spec.attempt, allowed=argv[1])
    return folder, spec


def _general(error: Exception) -> dict[str, str]:
    """Our own bugs and our libraries': the traceback is in the log, the message has no path in it."""
    if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
        return {"code": "out_of_memory", "message": "the run needed more memory than it may use"}
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return {"code": "disk_full", "message": "the run found no space left on its disk"}
    return {
        "code": "internal",
        "message": f"the run failed inside ({type(error).__name__}); its log says where",
    }


def _start_log() -> None:
    """Lines with a time (UTC), ours from INFO and the libraries' from WARNING on."""
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("modelyard").setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
