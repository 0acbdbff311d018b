"""script: a user's own program, in a sandbox, with a pipe for what it says.

This process holds the run's token and the sandbox's limits; the script sees its data sets, its own folder and
nothing else. What it leaves in outputs/models/ becomes versions only after every file was inspected.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta, Struct

from modelyard.errors import ScriptFailed
from modelyard.files import remove_tree
from modelyard.runs.context import RunContext
from modelyard.runs.reporter import RunReporter
from modelyard.runs.script_models import take_models
from modelyard.runs.script_streams import EventReader, LogCopy
from modelyard.trust import sandbox
from modelyard.trust.leavings import check_plain
from modelyard.trust.limits import Limits
from modelyard.trust.sandbox import Sandbox
from modelyard.trust.watch import Watch
from modelyard.types.run import RunOutcome
from modelyard.types.script import (
    ARTIFACTS,
    CONTEXT_VARIABLE,
    EVENTS_VARIABLE,
    MODELS,
    ScriptContext,
    ScriptData,
)

DATA: Final = "data."
"""Inputs of this beginning are data sets, by their names."""
_GIB: Final = 1 << 30
_SIGNALLED: Final = 128  # bubblewrap's status of what a signal has ended is above it
_LOOK: Final = 0.05  # seconds between two looks at a script that works
_STOPPING: Final = 3.0  # between SIGTERM and SIGKILL

Value = bool | int | float | str


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    script        the file of inputs/sources/ that is started
    params        for `modelyard.params()`, and as arguments: --name value
    data          name -> "name:version", the inputs `data.NAME`
    requirements  text of a requirements file; "": the platform's own libraries
    cpus          cores that it may use
    memory_bytes  of the script and all that it starts
    disk_bytes    that it may write
    seconds       that it may take
    network       whether it may use the network
    """

    script: str
    params: dict[str, Value] = {}
    data: dict[str, str] = {}
    requirements: str = ""
    cpus: Annotated[float, Meta(gt=0, le=1024)] | None = None
    memory_bytes: Annotated[int, Meta(ge=64 << 20)] = 8 * _GIB
    disk_bytes: Annotated[int, Meta(ge=1 << 20)] = 20 * _GIB
    seconds: Annotated[float, Meta(gt=0)] = 24 * 3600.0
    network: bool = False


def run(context: RunContext) -> RunOutcome:
    """Run the script to its end. Raises ScriptFailed, Cancelled, and what inspecting its models does."""
    params = context.params(Params)
    sandbox.demand(context.spec.allow_unsandboxed)
    python, digest = _environment(context, params)
    work = context.attempt / "work"
    _lay_out(context, work)
    _write_context(context, params, digest)
    summary = _Script(context, params, python, work).run()
    check_plain(context.outputs)  # a link that the script left would lead us elsewhere
    context.reporter.progress(1, 1, "taking over what it made")
    models = take_models(context, params.requirements if digest else None)
    kept = context.outputs / ARTIFACTS
    outputs = {"artifacts": ARTIFACTS} if kept.is_dir() and any(kept.iterdir()) else {}
    return RunOutcome(state="succeeded", outputs=outputs, models=models, summary=summary)


def _environment(context: RunContext, params: Params) -> tuple[Path, str | None]:
    """The Python to start, and the environment's digest, where the requirements ask for one of its own."""
    if not params.requirements.strip():
        return Path(sys.executable), None
    from modelyard import environments

    def say(text: str) -> None:
        print(text, flush=True)
        context.reporter.progress(0, 1, text[:200])
        context.reporter.check()

    python = environments.ensure(Path(context.spec.environments), params.requirements, say)
    return python, environments.digest(params.requirements)


def _lay_out(context: RunContext, work: Path) -> None:
    """The script's own folder, with copies of its files: it may do there what it likes."""
    if work.exists():
        remove_tree(work)
    shutil.copytree(context.input("sources"), work, copy_function=shutil.copyfile)
    for name in (MODELS, ARTIFACTS):
        (context.outputs / name).mkdir(exist_ok=True)


def _write_context(context: RunContext, params: Params, digest: str | None) -> None:
    data = {
        name: ScriptData(
            reference=reference,
            digest=context.spec.inputs[f"{DATA}{name}"],
            folder=str(context.input(f"{DATA}{name}")),
        )
        for name, reference in params.data.items()
    }
    told = ScriptContext(
        run=context.spec.id,
        params=dict(params.params),
        data=data,
        outputs=str(context.outputs),
        checkpoints=str(context.checkpoints),
        requirements=digest,
    )
    _context_file(context).write_bytes(msgspec.json.encode(told))


def _context_file(context: RunContext) -> Path:
    return context.attempt / "script.json"


class _Script:
    """The script's process, from its start to its end."""

    def __init__(self, context: RunContext, params: Params, python: Path, work: Path) -> None:
        self._context, self._params, self._python, self._work = context, params, python, work
        self._reporter = cast(RunReporter, context.reporter)  # the one that a run's process has

    def run(self) -> dict[str, Any]:
        """Its summary. Raises ScriptFailed with its status and its last words, or Cancelled."""
        self._context.reporter.progress(0, 1, f"running {self._params.script}")
        events_in, events_out = os.pipe()
        log_in, log_out = os.pipe()
        started = time.monotonic()
        try:
            child = self._start(events_out, log_out)
        finally:
            os.close(events_out)
            os.close(log_out)
        events = EventReader(events_in, self._reporter)
        log = LogCopy(log_in, sys.stdout.fileno())
        watch = Watch(child, self._box())
        try:
            status = self._wait(watch)
        finally:
            watch.end()  # whatever is left of the tree
            child.wait()
            log.join()
            events.join()
        if watch.passed is not None:
            raise ScriptFailed(f"the script was ended: {watch.passed.message}")
        if status != 0:
            raise ScriptFailed(": ".join(filter(None, (_ended(status), log.last_line))))
        return {**events.summary, "seconds": round(time.monotonic() - started, 3)}

    def _start(self, events: int, log: int) -> "subprocess.Popen[bytes]":
        argv = [str(self._python), "-u", str(self._work / self._params.script), *_arguments(self._params)]
        return sandbox.start(argv, self._box(events), stdout=log, stderr=log, pass_fds=(events,))

    def _box(self, events: int | None = None) -> Sandbox:
        context, params = self._context, self._params
        env = {
            CONTEXT_VARIABLE: str(_context_file(context)),
            "OMP_WAIT_POLICY": "PASSIVE",
            "MPLBACKEND": "Agg",
        }
        env |= {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
        if events is not None:
            env[EVENTS_VARIABLE] = str(events)
        return Sandbox(
            hide=(context.folder.parent.parent,),  # the home
            read=(context.folder / "inputs", _context_file(context), *_python_folders(self._python)),
            write=self._write(),
            cwd=self._work,
            env=env,
            network=params.network,
            limits=self._limits(),
        )

    def _write(self) -> tuple[Path, ...]:
        return self._work, self._context.outputs, self._context.checkpoints

    def _limits(self) -> Limits:
        params = self._params
        return Limits(
            memory_bytes=params.memory_bytes,
            file_bytes=params.disk_bytes,
            disk_bytes=params.disk_bytes,
            seconds=params.seconds,
            cpus=params.cpus,
        )

    def _wait(self, watch: Watch) -> int:
        """The exit status. A wish to stop is passed on as SIGTERM, and enforced soon after."""
        stopping: float | None = None
        while (ended := watch.wait(_LOOK)) is None:
            if self._reporter.stopping is None:
                continue
            if stopping is None:
                stopping = time.monotonic() + _STOPPING
                watch.terminate()
            elif time.monotonic() > stopping:
                watch.end()
        self._context.reporter.check()
        return ended.code


def _python_folders(python: Path) -> tuple[Path, ...]:
    """An environment's folder, which is none of the platform's own."""
    return () if python == Path(sys.executable) else (python.parent.parent,)


def _arguments(params: Params) -> list[str]:
    return [part for name, value in params.params.items() for part in (f"--{name}", _text(value))]


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ended(status: int) -> str:
    signal = -status if status < 0 else status - _SIGNALLED
    return (
        f"the script was ended by signal {signal}" if signal > 0 else f"the script ended with status {status}"
    )
