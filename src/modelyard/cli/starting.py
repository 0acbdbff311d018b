"""Waiting until a platform that was just started answers, or until it is clear that it will not."""

import asyncio
import time
from typing import TYPE_CHECKING

from modelyard.cluster.connection import AsyncConnection
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


async def until_ready(home: Home, config: PlatformConfig, patience: float = _PATIENCE) -> None:
    """Return when control and gateway answer. Raises the fault of one that gives up, or DeadlineExceeded."""
    import httpx

    deadline = time.monotonic() + patience
    waiting = {f"{config.control_url}/api/v1/health", f"{config.gateway_url}/v2/health/live"}
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as http:
        while waiting:
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
        error = ModelyardError(f"{process.id} ended {process.starts} times, with status {process.exit_code}")
        error.add_note(_tail(home, process.id))
        raise error


def _plain(fault: ModelyardError) -> bool:
    """Whether the fault's class is made from a message alone."""
    return type(fault).__init__ is ModelyardError.__init__


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
