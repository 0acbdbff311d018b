"""Whether a port is free, who holds it, and which one could be taken instead."""

import errno
import socket
from dataclasses import dataclass

from modelyard.errors import InvalidInput


@dataclass(frozen=True)
class Holder:
    """A process that listens. Only its number where its name may not be seen."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there. Raises InvalidInput for an address that is not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError) as error:
        raise InvalidInput("this machine cannot listen at this address", came=f"{host}:{port}") from error
    with socket.socket(family, kind, protocol) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: not put off by TIME_WAIT
        try:
            s.bind(address)
            s.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            text = f"this machine cannot listen at this address ({error.strerror})"
            raise InvalidInput(text, came=f"{host}:{port}") from error
    return True


def any_free(host: str) -> int:
    """A port that the system chooses, so that two that ask at one moment get two."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return int(s.getsockname()[1])


def next_free(host: str, after: int) -> int:
    """A port that is free now, by preference soon after `after`."""
    for port in range(after + 1, min(after + 100, 65536)):
        if is_free(host, port):
            return port
    return any_free(host)


def holder(port: int) -> Holder | None:
    """Who listens on `port`, where the system lets us see it."""
    import psutil

    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        pid = next((c.pid for c in listening if c.laddr.port == port and c.pid), None)
        return None if pid is None else Holder(pid, psutil.Process(pid).name())
    except psutil.Error:
        return None
