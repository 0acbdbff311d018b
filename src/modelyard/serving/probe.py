"""Looking at a replica from outside the data plane: is it there, which version is it, what has it counted."""

import socket
from dataclasses import dataclass

import msgspec

from modelyard.errors import Unavailable
from modelyard.serving import frames
from modelyard.serving.frames import Frame, FrameError, Kind, Parser
from modelyard.types.replica import Hello, Statistics


@dataclass(frozen=True, slots=True)
class Probed:
    hello: Hello
    statistics: Statistics


def probe(address: str, timeout: float = 2.0) -> Probed:
    """Ask the replica at "unix:/path" or "tcp:host:port"; blocks up to `timeout` seconds for each answer.

    Raises:
        Unavailable: nothing listens there, it does not answer in time, or it does not speak frames.
    """
    try:
        with connect(address, timeout) as connection:
            parser, waiting = Parser(), list[Frame]()
            hello = _next(connection, parser, waiting, Kind.HELLO)
            connection.sendall(frames.pack(Kind.STATISTICS, 1))
            counted = _next(connection, parser, waiting, Kind.STATISTICS)
        return Probed(
            msgspec.json.decode(hello.payload, type=Hello),
            msgspec.json.decode(counted.payload, type=Statistics),
        )
    except (OSError, FrameError, msgspec.DecodeError) as error:
        raise Unavailable("the replica does not answer", came=type(error).__name__) from error


def connect(address: str, timeout: float) -> socket.socket:
    """A connected stream socket. Raises OSError."""
    kind, _, rest = address.partition(":")
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        return socket.create_connection((host, int(port)), timeout)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    try:
        connection.connect(rest)
    except BaseException:
        connection.close()
        raise
    return connection


def _next(connection: socket.socket, parser: Parser, waiting: list[Frame], kind: Kind) -> Frame:
    while True:
        while not waiting:
            data = connection.recv(65536)
            if not data:
                raise FrameError("the replica closed the connection")
            waiting += parser.feed(data)
        frame = waiting.pop(0)
        if frame.kind == kind:
            return frame
