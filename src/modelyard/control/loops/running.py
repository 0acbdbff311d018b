"""All loops of control, from its start to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from modelyard.cluster.connection import Connection
from modelyard.control.loops import replicas, runs
from modelyard.control.loops.fine_tuning import FineTuningLoop
from modelyard.control.loops.housekeeping import Housekeeping
from modelyard.control.loops.launcher import LauncherWatch
from modelyard.control.loops.processes import Processes
from modelyard.control.loops.ticker import Ticker
from modelyard.control.platform import Platform

_STOP_SECONDS: Final = 5.0


@asynccontextmanager
async def running(platform: Platform) -> AsyncIterator[None]:
    """The loops, while the block runs. Runs and replicas go on when it ends: they are the launcher's."""
    processes = Processes(Connection(platform.home.launcher_socket), (runs.GROUP, replicas.GROUP))
    replica_loop = replicas.ReplicaLoop(platform, processes)
    working = [
        Ticker("replicas", replica_loop.step),
        Ticker("runs", runs.RunLoop(platform, processes).step),
        Ticker("fine-tuning", FineTuningLoop(platform).step),
    ]
    housekeeping = Ticker("housekeeping", Housekeeping(platform).step)

    def wake() -> None:
        for ticker in working:
            ticker.wake()

    platform.changes.listen(wake)
    watch = asyncio.create_task(LauncherWatch(platform, wake).run(), name="launcher watch")
    for ticker in (*working, housekeeping):
        ticker.start()
    try:
        yield
    finally:
        platform.changes.forget(wake)
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        for ticker in (*working, housekeeping):
            await asyncio.to_thread(ticker.stop, _STOP_SECONDS)
        replica_loop.close()
