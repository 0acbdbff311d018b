"""`yard down`."""

import asyncio
import time

from modelyard.cli.output import Json, show
from modelyard.cli.platform import HomeOption, home_of
from modelyard.cluster import table
from modelyard.cluster.connection import Connection
from modelyard.cluster.identity import identify
from modelyard.cluster.launcher import end_leftovers
from modelyard.errors import Conflict, DeadlineExceeded, ModelyardError, Unavailable
from modelyard.home import Home

_PATIENCE = 60.0  # seconds for everything to end in good order
_COMING = 5.0  # seconds in which control starts a launcher anew


def down(home: HomeOption = None, as_json: Json = False) -> None:
    """Stop the platform and everything that it runs. What it has kept stays; `yard up` goes on from there."""
    place = home_of(home)
    stopped = _stop(place)
    text = "Modelyard is stopped." if stopped else "Modelyard was not running."
    show({"stopped": stopped, "home": str(place.root)}, as_json, text)


def _stop(home: Home) -> bool:
    """Whether there was anything to stop."""
    if not home.state.is_dir():
        return False
    left = any(r.identity and r.identity.alive() for r in table.load(home.launcher_table))
    deadline = time.monotonic() + _COMING
    while True:
        try:
            launcher = Connection(home.launcher_socket).stop(_PATIENCE).launcher_pid
        except Unavailable:
            if _ended_leftovers(home, time.monotonic() > deadline):
                return left
        else:
            _until_gone(launcher)
            return True
        time.sleep(0.1)


def _ended_leftovers(home: Home, late: bool) -> bool:
    """Take the place of a launcher that is gone and end what it left. False: one has just started, ask it."""
    try:
        asyncio.run(end_leftovers(home))
    except Conflict as error:
        if late:
            raise ModelyardError("the launcher holds the home but does not answer") from error
        return False
    return True


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while identify(pid):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"the launcher (process {pid}) has stopped everything but does not end")
        time.sleep(0.02)
