"""Starting a platform, in the foreground or on its own, and waiting until it answers or clearly will not."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelyard.cluster.connection import AsyncConnection, Connection
from modelyard.cluster.launcher import Launcher, supervise
from modelyard.cluster.platform import OWN
from modelyard.errors import DeadlineExceeded, ModelyardError, Unavailable, from_dict
from modelyard.home import Home
from modelyard.types.process import PlatformConfig, ProcessStatus

if TYPE_CHECKING:
    import httpx

_PATIENCE = 60.0  # seconds; a start takes 2 on an idle machine
_LOOK = 0.05
_ATTEMPTS = 3  # starts of one process before it is given up
_LOG_LINES = 5


def foreground(home: Home, config: PlatformConfig, announce: Callable[[], None]) -> None:
    """Become the launcher, `announce` when all answers, and stay until everything has been stopped.

    Raises what made the start fail, when all that was started has ended.
    """
    failures: list[ModelyardError] = []
    tasks: set[asyncio.Task[None]] = set()

    async def welcome(launcher: Launcher) -> None:
        try:
            await until_ready(home, config)
            announce()
        except ModelyardError as error:
            failures.append(error)
            launcher.stop()

    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(filename=home.logs / "launcher.log", level=logging.INFO, format=form)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(supervise(home, lambda launcher: tasks.add(asyncio.create_task(welcome(launcher)))))
    if failures:
        raise failures[0]


def detached(home: Home, config: PlatformConfig) -> None:
    """Start a launcher that outlives this command, and wait until all answers. Raises why it does not."""
    argv = [sys.executable, "-m", "modelyard.cluster.launcher", "--home", str(home.root)]
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    with (home.logs / "launcher.log").open("ab") as log:
        launcher = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
            env=environment,
            start_new_session=True,
        )

    def check() -> None:
        if launcher.poll() is not None:
            raise _ended(home, "launcher", f"the launcher ended with status {launcher.returncode}")

    try:
        asyncio.run(until_ready(home, config, check))
    except ModelyardError:
        if launcher.poll() is None:
            Connection(home.launcher_socket).stop()
            launcher.wait()
        raise


async def until_ready(
    home: Home, config: PlatformConfig, check: Callable[[], None] = lambda: None, patience: float = _PATIENCE
) -> None:
    """Return when control and gateway answer. Raises the fault of one that gives up, or DeadlineExceeded.

    `check` is called at each look and may raise too.
    """
    import httpx

    deadline = time.monotonic() + patience
    waiting = {f"{config.control_url}/api/v1/health", f"{config.gateway_url}/v2/health/live"}
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as http:
        while waiting:
            check()
            await _check_processes(home, deadline)
            waiting = {url for url in waiting if not await _answers(http, url)}
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"the platform does not answer after {patience:g} s; see its logs folder"
                )
            await asyncio.sleep(_LOOK if waiting else 0)


async def _check_processes(home: Home, deadline: float) -> None:
    try:
        table = await AsyncConnection(home.launcher_socket, timeout=2.0).table()
    except Unavailable:
        if time.monotonic() > deadline:
            raise
        return  # it has only just been started
    for process in table.processes:
        if process.id in OWN:
            _check(home, process)


def _check(home: Home, process: ProcessStatus) -> None:
    if process.phase != "waiting":
        return
    if process.fault:
        fault = from_dict(process.fault)
        raise type(fault)(f"{process.id} cannot start: {fault.message}") if _plain(fault) else fault
    if process.starts >= _ATTEMPTS:
        text = f"{process.id} ended {process.starts} times, with status {process.exit_code}"
        raise _ended(home, process.id, text)


def _plain(fault: ModelyardError) -> bool:
    """Whether the fault's class is made from a message alone."""
    return type(fault).__init__ is ModelyardError.__init__


def _ended(home: Home, name: str, text: str) -> ModelyardError:
    error = ModelyardError(text)
    error.add_note(_tail(home, name))
    return error


def _tail(home: Home, name: str) -> str:
    path = home.logs / f"{name}.log"
    try:
        with path.open("rb") as f:
            f.seek(max(0, path.stat().st_size - 4096))
            lines = f.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    except FileNotFoundError:
        lines = []
    return "\n".join([f"the end of {path}:", *(f"  {line}" for line in lines)])


async def _answers(http: "httpx.AsyncClient", url: str) -> bool:
    import httpx

    try:
        return (await http.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
