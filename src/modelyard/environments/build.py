"""Building an environment: a virtual environment whose own packages come first and the platform's behind them.

pip sees the platform's packages as installed, adds what is missing or wanted in another version, and leaves what
lies outside the environment alone. Only wheels are taken, so that no code of a package runs while it is installed.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import site
import subprocess
import sys
import threading
import time
import venv
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from modelyard.environments import shelf
from modelyard.environments.requirements import digest as digest_of
from modelyard.environments.requirements import lines as lines_of
from modelyard.environments.shelf import Made, python_of
from modelyard.errors import Conflict, DeadlineExceeded, InvalidInput, ModelyardError, Unavailable
from modelyard.files import write_atomic

Say = Callable[[str], None]

SECONDS: Final = 1800.0
_LAST_LINES: Final = 40
_PAUSE: Final = 0.1  # seconds between two looks at an environment that another builds
_SAID_EVERY: Final = 50
_BEHIND: Final = "modelyard-platform.pth"
_NOT_OURS: Final = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIREMENT", "PIP_NO_DEPS")
_NO_WHEEL: Final = re.compile(r"No matching distribution found for (.+)")
_NETWORK: Final = re.compile(
    r"Max retries exceeded|Connection (?:refused|reset)|ReadTimeout|NewConnectionError|Name or service|"
    r"Could not fetch URL"
)
_held: list[int] = []  # what this process runs in, or starts others in, for as long as it lives


def ensure(environments: Path, text: str, say: Say, *, seconds: float = SECONDS) -> Path:
    """The Python of the environment that these requirements make, built where it is not there yet.

    `environments` is the home's folder of them; `say` hears what is done, line by line, and may raise to stop it.
    Two that ask at once get one. It is held until this process ends, so that nobody removes it meanwhile.

    Raises:
        InvalidInput, TooLarge: the requirements are none, cannot be met together, or have no wheel.
        Unavailable: the index cannot be reached, or the disk is full.
        DeadlineExceeded: it takes longer than `seconds`.
    """
    lines, digest = lines_of(text), digest_of(text)
    environments.mkdir(parents=True, exist_ok=True, mode=0o700)
    patience = _Patience(say, time.monotonic() + seconds)
    folder, stale_will_do = environments / digest, False
    while True:
        try:
            with shelf.held(environments, digest, alone=False) as lock:
                if _is_whole(folder) and (stale_will_do or _is_fresh(folder)):
                    _keep(lock)
                    break
            with shelf.held(environments, digest, alone=True) as lock:
                stale_will_do = not _build_or_renew(folder, lines, patience, lock)
        except Conflict:
            stale_will_do = _is_whole(folder)  # something runs in it
            if not stale_will_do:
                patience.wait("waiting for the environment, which another builds")
    shelf.touch(folder)
    return python_of(environments, digest)


class _Patience:
    """Who hears of the work, and until when it may take."""

    def __init__(self, say: Say, deadline: float) -> None:
        self.say, self._deadline = say, deadline
        self._waits = 0

    @property
    def left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def wait(self, why: str) -> None:
        """A moment. It is said now and then: who hears it may raise. Raises DeadlineExceeded."""
        self._waits += 1
        if self._waits % _SAID_EVERY == 2:  # at once it may only be looked at
            self.say(why)
        if self.left == 0.0:
            raise DeadlineExceeded("building the environment took too long")
        time.sleep(_PAUSE)


def _is_whole(folder: Path) -> bool:
    """Built, by this Python, which is still there."""
    made = shelf.read_made(folder)
    return made is not None and made.base == _base() and (folder / "bin/python").exists()


def _is_fresh(folder: Path) -> bool:
    """Whether the platform's libraries behind it are those that it was built on."""
    made = shelf.read_made(folder)
    return made is not None and made.platform == _platform_state()


def _keep(lock: int) -> None:
    """Hold it for as long as this process lives, and what it becomes (exec)."""
    kept = os.dup(lock)
    os.set_inheritable(kept, True)
    _held.append(kept)


def _build_or_renew(folder: Path, lines: tuple[str, ...], patience: _Patience, lock: int) -> bool:
    """Whether it is as it should be now. One that was built on other libraries of the platform is built anew, for
    they may no longer give what it leaves to them; where that cannot be, it is used as it was."""
    if not _is_whole(folder):
        _build(folder, lines, patience, lock)
        return True
    if _is_fresh(folder):
        return True
    before = folder.with_name(f"{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    folder.rename(before)
    try:
        patience.say("the platform's own libraries have changed")
        _build(folder, lines, patience, lock)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        before.rename(folder)
        if not isinstance(error, InvalidInput | Unavailable):
            raise
        patience.say(f"the environment stays as it was: {error}")
        return False
    shutil.rmtree(before, ignore_errors=True)
    return True


def _build(folder: Path, lines: tuple[str, ...], patience: _Patience, lock: int) -> None:
    """From nothing: what was installed before could run code in the Python that pip runs in."""
    began = time.monotonic()
    patience.say(f"building the environment {folder.name[:12]} of {len(lines)} requirements")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        venv.EnvBuilder(symlinks=os.name != "nt", with_pip=False, clear=True).create(folder)
        _lay_platform_behind(folder)
        write_atomic(folder / shelf.REQUIREMENTS, "".join(f"{line}\n" for line in lines).encode())
        _install(folder, lines, patience, lock)
        _link_python(folder)
        _write_made(folder, lines, time.monotonic() - began)
    except OSError as error:
        raise Unavailable(f"the environment cannot be written: {error.strerror}") from error
    patience.say(f"the environment is ready after {time.monotonic() - began:.1f} s")


def _lay_platform_behind(folder: Path) -> None:
    """`addsitedir`, not a bare path: a platform that is installed as editable is found by a .pth file."""
    own = next((folder / "lib").glob("python*/site-packages"))
    (own / _BEHIND).write_text(
        "".join(f"import site; site.addsitedir({os.fspath(p)!r})\n" for p in _platform_folders())
    )


def _link_python(folder: Path) -> None:
    """Again: a wheel may have brought a script of that name."""
    base = os.path.realpath(sys.executable)
    for name in ("python", "python3", f"python3.{sys.version_info[1]}"):
        path = folder / "bin" / name
        path.unlink(missing_ok=True)
        path.symlink_to(base)


def _install(folder: Path, lines: tuple[str, ...], patience: _Patience, lock: int) -> None:
    if not lines:
        return
    python = folder / "bin/python"
    argv = [str(python), "-I", "-m", "pip", "install", "--requirement", shelf.REQUIREMENTS]
    argv += ["--only-binary", ":all:", "--no-input", "--progress-bar", "off", "--no-warn-script-location"]
    argv += ["--disable-pip-version-check", "--no-compile"]
    if importlib.util.find_spec("pip") is None:
        _run([str(python), "-I", "-m", "ensurepip"], folder, patience, lock)
    _run(argv, folder, patience, lock)


def _run(argv: list[str], folder: Path, patience: _Patience, lock: int) -> None:
    """Follow a command to its end. It keeps the lock: if we are killed, nobody builds beside it."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with (folder / shelf.LOG).open("a") as log:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={k: v for k, v in os.environ.items() if k not in _NOT_OURS and not k.startswith("YARD_")},
            pass_fds=(lock,),
        )
        late = threading.Timer(patience.left, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                last.append(line.rstrip())
                patience.say(_without_paths(line.rstrip(), folder))
            status = process.wait()
        finally:
            late.cancel()
            process.kill()
            process.communicate()
    if status != 0:
        raise _failure(last, timed_out=patience.left == 0.0, folder=folder)


def _without_paths(line: str, folder: Path) -> str:
    """What is said to users names no folder of the server; the log does."""
    for path in _platform_folders():
        line = line.replace(str(path), "the platform's own")
    return line.replace(str(folder), "the environment")


def _failure(said: Iterable[str], timed_out: bool, folder: Path) -> ModelyardError:
    text = "\n".join(said)
    if timed_out:
        return DeadlineExceeded("building the environment took too long")
    if found := _NO_WHEEL.search(text):
        hint = "; the package index could not be reached" if _NETWORK.search(text) else ""
        kind = Unavailable if hint else InvalidInput
        return kind(
            "no wheel fits this machine and this Python (packages are not built from source here, "
            f"for that would run their code){hint}",
            came=found[1],
        )
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    why = _without_paths((errors or ["pip says why in the log"])[0], folder)
    if "No space left" in text:
        return Unavailable("the environment cannot be written: no space left")
    return (Unavailable if _NETWORK.search(text) else InvalidInput)(
        f"the requirements cannot be installed: {why}"
    )


def _write_made(folder: Path, lines: tuple[str, ...], seconds: float) -> None:
    own = next((folder / "lib").glob("python*/site-packages"))
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions(path=[str(own)])}
    made = Made(
        lines=lines,
        python=".".join(map(str, sys.version_info[:3])),
        base=_base(),
        platform=_platform_state(),
        installed=dict(sorted(installed.items())),
        size=_size(folder),
        made_at=time.time(),
        seconds=round(seconds, 3),
    )
    write_atomic(folder / shelf.MADE, msgspec.json.encode(made))


def _base() -> str:
    """The Python that environments are made of: it lies behind each of them as a link."""
    return f"{os.path.realpath(sys.executable)} {sys.version_info[0]}.{sys.version_info[1]}"


def _platform_folders() -> list[Path]:
    """Where the platform's own libraries lie, in the order in which they are found."""
    named = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [Path(path) for path in sys.path if path in named]


def _platform_state() -> str:
    """Which distributions the platform has, as a digest."""
    names = sorted(p.name for folder in _platform_folders() for p in folder.glob("*.*-info"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
