"""What the commands around `yard up` share: the home, the client, the launcher's answer."""

from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from modelyard.client import Client
from modelyard.client.transport import PATIENCE
from modelyard.cluster.connection import Connection
from modelyard.errors import Unavailable
from modelyard.home import Home
from modelyard.types.process import Table

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The platform's folder (YARD_HOME, or ~/.modelyard).", show_default=False),
]


def home_of(folder: Path | None) -> Home:
    """The home that was named, or the environment's."""
    return Home.from_environment() if folder is None else Home(folder)


@cache
def client() -> Client:
    """The client of the environment; patient with a platform that is there: control may be starting."""
    here = Home.from_environment().launcher_socket.exists()
    return Client(patience=PATIENCE if here else 0.5)


def running(home: Home) -> Table | None:
    """What the launcher of `home` runs, or None where there is none."""
    try:
        return Connection(home.launcher_socket, timeout=5.0).table()
    except Unavailable:
        return None
