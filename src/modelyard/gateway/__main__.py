"""The gateway's process: `python -m modelyard.gateway`; its token is in YARD_GATEWAY_TOKEN.

Exit status: 0 after SIGTERM, 78 (EX_CONFIG) where it cannot start; why is then in the fault file.
"""

import argparse
import contextlib
import gc
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from modelyard.errors import InvalidInput, ModelyardError
from modelyard.files import write_atomic
from modelyard.gateway import server
from modelyard.gateway.limits import Limits
from modelyard.home import Home

EXIT_CONFIG: Final = 78

_log = logging.getLogger(__name__)


def main() -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
    arguments = _arguments()
    try:
        token = os.environ.get("YARD_GATEWAY_TOKEN", "")
        if not token:
            raise InvalidInput("the gateway has no token", allowed="YARD_GATEWAY_TOKEN in its environment")
        limits = _limits(arguments.limits)
        home = Home(arguments.home)
        home.create()
        listener = server.listen(arguments.host, arguments.port)
    except ModelyardError as error:
        return _give_up(error, arguments.fault_file)
    _raise_open_files()
    gc.collect()
    gc.freeze()  # what is loaded stays: the collector need not look at it again and again
    uvloop.run(server.serve(listener, arguments.control_url, token, home, limits))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelyard.gateway", description="The address that callers use.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8800)
    parser.add_argument("--control-url", required=True, help="where snapshots come from")
    parser.add_argument("--home", type=Path, required=True, help="YARD_HOME")
    parser.add_argument("--fault-file", type=Path, help="where to write why it cannot start")
    parser.add_argument(
        "--limits", default="{}", help="JSON of gateway.limits.Limits; what is absent is default"
    )
    return parser.parse_args()


def _limits(text: str) -> Limits:
    try:
        return msgspec.json.decode(text, type=Limits)
    except msgspec.DecodeError as error:
        raise InvalidInput("--limits", came=str(error)) from None


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):  # some systems say unlimited and mean less
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def _give_up(error: ModelyardError, fault_file: Path | None) -> int:
    fault = msgspec.json.encode(error.to_dict())
    _log.error("%s", fault.decode())
    if fault_file is not None:
        write_atomic(fault_file, fault)
    return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
