"""The replica's process: `python -m modelyard.serving.replica`. One model version, decode to encode.

Exit status: 0 after SIGTERM, 78 (EX_CONFIG) where the package cannot be served; why is then in the fault
file.
"""

import argparse
import gc
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from modelyard.dialects import Served
from modelyard.engines import Model, open_model
from modelyard.errors import ModelyardError
from modelyard.files import write_atomic
from modelyard.serving.batcher import Batcher
from modelyard.serving.server import Server
from modelyard.types.replica import Hello

EXIT_CONFIG: Final = 78

_log = logging.getLogger(__name__)


def main() -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
    arguments = _arguments()
    try:
        model = open_model(arguments.package, expected_digest=arguments.digest, threads=arguments.threads)
    except Exception as error:
        return _give_up(error, arguments)
    server = _server(model, arguments)
    gc.collect()
    gc.freeze()  # what is loaded stays: the collector need not look at it again and again
    server.run()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelyard.serving.replica", description="Serve one package.")
    parser.add_argument("--package", type=Path, required=True, help="the package's folder")
    parser.add_argument("--digest", required=True, help="hex sha256 of its manifest")
    parser.add_argument("--name", required=True, help="the deployment's name")
    parser.add_argument("--version", required=True, help="the version as callers see it")
    at = parser.add_mutually_exclusive_group(required=True)
    at.add_argument("--socket", type=Path, help="the unix socket to listen on")
    at.add_argument("--socket-fd", type=int, help="the descriptor of one that is bound already")
    parser.add_argument("--fault-file", type=Path, help="where to write why the package cannot be served")
    parser.add_argument("--fault-fd", type=int, help="the descriptor to write it into, where no file can be")
    parser.add_argument("--threads", type=int, default=1, help="compute threads")
    parser.add_argument("--max-batch", type=int, default=64, help="most rows in the model at a time")
    return parser.parse_args()


def _server(model: Model, arguments: argparse.Namespace) -> Server:
    manifest = model.manifest
    served = Served(
        name=arguments.name,
        version=arguments.version,
        signature=manifest.signature,
        labels=manifest.labels,
        task=model.task,
        prepared=model.prepared,
    )
    hello = Hello(
        name=arguments.name,
        version=arguments.version,
        digest=model.digest,
        task=manifest.task,
        platform=next(iter(manifest.formats)),
        signature=manifest.signature,
        labels=manifest.labels,
    )
    batcher = Batcher(model, served, arguments.max_batch)
    at = arguments.socket or socket.socket(fileno=arguments.socket_fd)
    return Server(at, hello, batcher, arguments.max_batch)


def _give_up(error: Exception, arguments: argparse.Namespace) -> int:
    if isinstance(error, ModelyardError):
        fault = error.to_dict()
        _log.error("%s", msgspec.json.encode({"event": "failure", **fault}).decode())
    else:
        fault = {"code": "internal", "message": f"the package cannot be opened: {type(error).__name__}"}
        _log.error("the package cannot be opened", exc_info=error)
    if arguments.fault_file is not None:
        write_atomic(arguments.fault_file, msgspec.json.encode(fault))
    elif arguments.fault_fd is not None:
        os.write(arguments.fault_fd, msgspec.json.encode(fault))
    return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
