"""A process of ours in a sandbox of one use: it reads what a file says, and writes its result into a folder."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from modelyard.errors import InvalidInput, NotFound, TooLarge
from modelyard.runs.context import RunContext
from modelyard.trust import sandbox
from modelyard.trust.leavings import check_plain, read_plain

S = TypeVar("S", bound=Struct)

_LOOK: Final = 0.2  # seconds between two looks at it
_RESULT_BYTES: Final = 1 << 20
_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, kw_only=True)
class Work:
    """`module` is run by `python` with the path of `spec`, which it finds in `out`; it may read `read` and write
    `out`, where it leaves `result`. `what` is its name in messages."""

    what: str
    module: str
    spec: Struct
    out: Path
    result: str
    read: tuple[Path, ...] = ()
    python: Path = Path(sys.executable)
    limits: sandbox.Limits = field(default_factory=sandbox.Limits)


def run(context: RunContext, work: Work, kind: type[S]) -> S:
    """Its result. What it prints goes to the run's log.

    Raises InvalidInput where it came to no end, TooLarge where it needed more than it may use, Cancelled.
    """
    spec = work.out / "spec.json"
    spec.write_bytes(msgspec.json.encode(work.spec))
    argv = [str(work.python), "-m", work.module, str(spec)]
    watch = _start(argv, _box(context, work))
    try:
        while (ended := watch.wait(_LOOK)) is None:
            context.reporter.check()
    finally:
        watch.end()
    if ended.passed is not None:
        raise TooLarge(f"{work.what} needed more than it may use", came=ended.passed.message)
    check_plain(work.out)  # a link or a pipe that was left would lead us elsewhere, or nowhere
    try:
        return msgspec.json.decode(read_plain(work.out / work.result, _RESULT_BYTES), type=kind)
    except (NotFound, msgspec.MsgspecError):
        raise InvalidInput(
            f"{work.what} came to no end; the run's log says more", came=f"status {ended.code}"
        ) from None


def _start(argv: list[str], box: sandbox.Sandbox) -> sandbox.Watch:
    return sandbox.Watch(sandbox.start(argv, box, stdout=sys.stdout.fileno(), stderr=subprocess.STDOUT), box)


def _box(context: RunContext, work: Work) -> sandbox.Sandbox:
    home = context.folder.parent.parent
    environment = () if work.python == Path(sys.executable) else (work.python.parent.parent,)
    return sandbox.Sandbox(
        hide=(home,),
        read=(*work.read, *environment),
        write=(work.out,),
        cwd=work.out,
        env={**_ENVIRONMENT, "TMPDIR": os.fspath(work.out)},
        limits=work.limits,
    )
