"""The inspection in a process of its own, in the sandbox: what a file does to its reader ends with the reader."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

import msgspec

from modelyard.errors import ModelyardError, NotAllowedFormat, TooLarge, Unavailable, from_dict
from modelyard.trust import sandbox
from modelyard.trust.inspection.contract import MAX_BYTES, Inspection

_MEMORY: Final = 768 << 20
_SECONDS: Final = 60.0
_SLOWEST: Final = 20e6  # bytes a second of a disk that an archive is unpacked on
_ANSWER_BYTES: Final = 8 << 20
_LOGGED: Final = 2000  # characters
_log = logging.getLogger(__name__)


def inspect_sandboxed(
    path: Path, name: str | None = None, *, unpack: Path | None = None, wanted: str | None = None
) -> Inspection:
    """`inspect` in a sandbox with a limit of memory and of time. A crash or a passed limit is a refusal.

    Raises what `inspect` does.
    """
    size = path.stat().st_size if path.is_file() else 0
    limits = sandbox.Limits(
        memory_bytes=_MEMORY,
        processes=4,
        file_bytes=MAX_BYTES,
        disk_bytes=MAX_BYTES,
        seconds=_SECONDS + size / _SLOWEST,
        cpus=1,
    )
    argv = [sys.executable, "-I", "-m", "modelyard.trust.inspection", str(path.absolute())]
    argv += ["--name", name or path.name]
    argv += ["--unpack", str(unpack.absolute())] if unpack is not None else []
    argv += ["--format", wanted] if wanted is not None else []
    write = (unpack.absolute(),) if unpack is not None else ()
    box = sandbox.Sandbox(read=(_seen(path.absolute()),), write=write, cwd=Path("/tmp"), limits=limits)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        ended = sandbox.Watch(_started(argv, box, out, err), box).wait()
        assert ended is not None
        _note(err, ended.code)
        if ended.passed is not None:
            raise TooLarge("the file needs more than its inspection may use", came=ended.passed.message)
        return _answer(out, ended.code)


def _started(
    argv: list[str], box: sandbox.Sandbox, out: IO[bytes], err: IO[bytes]
) -> "subprocess.Popen[bytes]":
    try:
        return sandbox.start(argv, box, stdout=out, stderr=err)
    except OSError as error:  # no process can be started now: this says nothing of the file
        raise Unavailable("the file cannot be inspected now", came=error.strerror) from error


def _note(err: IO[bytes], code: int) -> None:
    """What a reader that crashed said is for the log alone."""
    size = err.seek(0, 2)
    err.seek(max(0, size - _LOGGED))
    if said := err.read().decode(errors="replace").strip():
        _log.warning("an inspection ended with status %d: %s", code, said)


def _seen(path: Path) -> Path:
    """A file, or its folder where the format keeps tensors beside the file."""
    return path.parent if path.is_file() and path.suffix in (".onnx", ".xml") else path


def _answer(out: IO[bytes], code: int) -> Inspection:
    out.seek(0)
    try:
        answer = msgspec.json.decode(out.read(_ANSWER_BYTES), type=dict[str, msgspec.Raw])
        if "error" in answer:
            raise _said(answer["error"])
        return msgspec.json.decode(answer["inspection"], type=Inspection)
    except (msgspec.MsgspecError, KeyError):
        raise NotAllowedFormat(
            "the file cannot be inspected: its reader came to no answer", came=f"status {code}"
        ) from None


def _said(raw: msgspec.Raw) -> ModelyardError:
    return from_dict(msgspec.json.decode(raw, type=dict[str, str]))
