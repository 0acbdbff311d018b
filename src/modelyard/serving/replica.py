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

from modelyard import packages
from modelyard.dialects import Served
from modelyard.engines import Model, open_model
from modelyard.engines.generation import GeneratorOptions
from modelyard.engines.table import generator_format
from modelyard.errors import ModelyardError, NotAllowedFormat
from modelyard.files import write_atomic
from modelyard.serving.batcher import Batcher
from modelyard.serving.generating import open_served
from modelyard.serving.server import Server
from modelyard.serving.streams import StreamServer
from modelyard.types.package import Manifest
from modelyard.types.replica import Hello

EXIT_CONFIG: Final = 78

_log = logging.getLogger(__name__)


def main() -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
    arguments = _arguments()
    try:
        manifest = packages.read(arguments.package, expected_digest=arguments.digest)
        server = _generating(manifest, arguments) if generator_format(manifest) else _batching(arguments)
    except Exception as error:
        return _give_up(error, arguments)
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
    parser.add_argument("--threads", type=int, help="compute threads")
    parser.add_argument("--slots", type=int, help="sequences generated at a time")
    parser.add_argument("--context", type=int, help="most tokens of a sequence")
    parser.add_argument("--max-batch", type=int, default=64, help="most rows in the model at a time")
    return parser.parse_args()


def _generating(manifest: Manifest, arguments: argparse.Namespace) -> StreamServer:
    if isinstance(manifest.refusal, str):
        raise NotAllowedFormat(manifest.refusal)
    options = GeneratorOptions(slots=arguments.slots, context=arguments.context, threads=arguments.threads)
    opened = open_served(arguments.package, manifest, options, arguments.name, arguments.version)
    at = arguments.socket or socket.socket(fileno=arguments.socket_fd)
    return StreamServer(at, opened.hello, opened.generator, opened.served)


def _batching(arguments: argparse.Namespace) -> Server:
    model = open_model(
        arguments.package, expected_digest=arguments.digest, threads=arguments.threads or 1, verify=False
    )
    return _server(model, arguments)


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
