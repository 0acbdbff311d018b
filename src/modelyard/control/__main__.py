"""`python -m modelyard.control --home DIR --fault-file FILE`.

Exit status 78 (EX_CONFIG) where it cannot start as it was told to; the fault file says why.
"""

import argparse
import errno
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
import uvicorn
from sqlalchemy.exc import DBAPIError

from modelyard.control.app import behind_door, create_app
from modelyard.control.bootstrap import only_control, open_platform
from modelyard.control.http import Protocol
from modelyard.control.loops.running import running
from modelyard.control.platform import Platform
from modelyard.errors import Conflict, InvalidInput, ModelyardError, Unavailable
from modelyard.files import write_atomic
from modelyard.home import Home
from modelyard.types.process import PlatformConfig

EX_CONFIG: Final = 78
_log = logging.getLogger("modelyard.control")
_HEADER_BYTES: Final = 32 << 10


def main() -> int:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    home = Home(options.home)
    try:
        home.create()
        with only_control(home):
            _serve(home)
    except ModelyardError as error:
        _log.error("%s", error)
        if options.fault_file is not None:
            write_atomic(options.fault_file, msgspec.json.encode(error.to_dict()))
        return EX_CONFIG
    return 0


def _serve(home: Home) -> None:
    try:
        platform = open_platform(home)
    except DBAPIError as error:
        raise Unavailable("the database cannot be opened", came=type(error.orig).__name__) from error
    with _listen(platform.config) as listener:
        app = create_app(platform, lambda app: _life(platform))
        config = uvicorn.Config(
            behind_door(app),
            http=Protocol,  # of h11, which is strict about lengths and encodings, and bounds the headers
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)  # uvicorn sends them again when it has ended, to end the process
        _Server(config, platform).run(sockets=[listener])
    platform.database.close()


@asynccontextmanager
async def _life(platform: Platform) -> AsyncIterator[None]:
    async with running(platform):
        _log.info("control answers at %s", platform.config.control_url)
        yield


class _Server(uvicorn.Server):
    """Tells streams of the end before it waits for them."""

    def __init__(self, config: uvicorn.Config, platform: Platform) -> None:
        super().__init__(config)
        self._platform = platform

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._platform.closing.set()
        self._platform.changes.tell()
        super().handle_exit(sig, frame)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Told to end, and ending already."""


def _listen(config: PlatformConfig) -> socket.socket:
    """Raises Conflict where the port is taken, InvalidInput for an address that is not ours."""
    host, port = config.control_host, config.control_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"port {port} is taken; give control another one with --control-port") from None
        raise InvalidInput(f"control cannot listen on {host}:{port}: {error.strerror}") from None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="modelyard.control", description="The management API and its loops."
    )
    parser.add_argument("--home", type=Path, required=True, help="the platform's folder")
    parser.add_argument("--fault-file", type=Path, help="where to write why it cannot start")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
