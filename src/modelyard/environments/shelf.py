"""The folder of environments: where each lies, what is known of it, and who holds it.

<digest>/           a virtual environment
<digest>/requirements.txt, log.txt, used (its time is when it was last asked for)
<digest>/made.json  written last: what has none is not whole
<digest>.lock       held shared by all that run in it, alone by who builds or removes it
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from modelyard.environments.requirements import is_digest, read_file
from modelyard.errors import Conflict, NotFound

REQUIREMENTS: Final = "requirements.txt"
LOG: Final = "log.txt"
MADE: Final = "made.json"
_USED: Final = "used"


class Made(Struct, frozen=True, kw_only=True):
    """`made.json`. `base` and `platform` say what it was built on; `installed` what it holds itself, name ->
    version; `size` in bytes; `seconds` to build it."""

    lines: tuple[str, ...]
    python: str
    base: str
    platform: str
    installed: dict[str, str]
    size: int
    made_at: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """One environment. `made` is None for one that is being built, or could not be."""

    digest: str
    text: str
    made: Made | None
    used_at: float


def python_of(environments: Path, digest: str) -> Path:
    """The Python of an environment, whether it is built yet or not."""
    return environments / digest / "bin" / "python"


def read_made(folder: Path) -> Made | None:
    """What is known of a whole environment; None for one that is not."""
    try:
        return msgspec.json.decode((folder / MADE).read_bytes(), type=Made)
    except (OSError, msgspec.MsgspecError):
        return None


def read_text(environments: Path, digest: str) -> str:
    """The requirements that an environment was asked for with. Raises NotFound."""
    try:
        if not is_digest(digest):
            raise FileNotFoundError
        return read_file(environments / digest / REQUIREMENTS)
    except OSError:
        raise NotFound("the requirements of this environment are not known here", came=digest[:12]) from None


def list_shelved(environments: Path) -> list[Shelved]:
    """By digest."""
    if not environments.is_dir():
        return []
    names = sorted(p.name for p in environments.iterdir() if is_digest(p.name) and p.is_dir())
    return [one for name in names if (one := _shelved(environments, name)) is not None]


def find(environments: Path, beginning: str) -> Shelved:
    """The one whose digest begins so (8 digits or more). Raises NotFound, and Conflict where there are several."""
    if not re.fullmatch(r"[0-9a-f]{8,64}", beginning):
        raise NotFound("no such environment", came=beginning)
    found = [one for one in list_shelved(environments) if one.digest.startswith(beginning)]
    if len(found) > 1:
        raise Conflict("several environments begin so", came=beginning)
    if not found:
        raise NotFound("no such environment", came=beginning)
    return found[0]


def touch(folder: Path) -> None:
    """Note that it was asked for now."""
    (folder / _USED).touch()


def remove(environments: Path, digest: str) -> None:
    """Raises Conflict where it is being built, or something runs in it."""
    with held(environments, digest, alone=True):
        folder = environments / digest
        (folder / MADE).unlink(missing_ok=True)  # first: what is half removed is not taken for whole
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(environments / f"{digest}.before", ignore_errors=True)
        _lock_of(environments, digest).unlink(missing_ok=True)


@contextmanager
def held(environments: Path, digest: str, *, alone: bool) -> Iterator[int]:
    """Hold an environment; the descriptor that does it, for who wants to hold it longer (os.dup). Raises Conflict
    where another holds it."""
    descriptor = _lock(_lock_of(environments, digest), alone)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(path: Path, alone: bool) -> int:
    kind = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise Conflict("the environment is in use") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was removed at this moment


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    return False


def _lock_of(environments: Path, digest: str) -> Path:
    return environments / f"{digest}.lock"


def _shelved(environments: Path, digest: str) -> Shelved | None:
    folder = environments / digest
    try:
        text = read_text(environments, digest)
    except NotFound:
        text = ""
    used = folder / _USED
    try:
        used_at = (used if used.exists() else folder).stat().st_mtime
    except FileNotFoundError:
        return None  # removed just now
    return Shelved(digest=digest, text=text, made=read_made(folder), used_at=min(used_at, time.time()))
