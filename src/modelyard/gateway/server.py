"""The gateway's life: sockets, the snapshot, SIGTERM."""

import asyncio
import signal
import socket

from modelyard.errors import ModelyardError
from modelyard.gateway import reporting, snapshot
from modelyard.gateway.activity import Attendant
from modelyard.gateway.app import Gateway
from modelyard.gateway.deployments import Deployments
from modelyard.gateway.fleet import Fleet
from modelyard.gateway.http import Connections
from modelyard.gateway.limits import Limits
from modelyard.gateway.passing import Passing
from modelyard.gateway.reporting import Reporter
from modelyard.gateway.snapshot import Follower
from modelyard.gateway.usage import Ledger
from modelyard.home import Home

_BACKLOG = 2048


class PortTaken(ModelyardError):
    code = "port_taken"


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises PortTaken naming the option to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"cannot listen on {host} port {port}: {error.strerror}", allowed="another port, with --port"
        ) from error
    return listener


async def serve(listener: socket.socket, control_url: str, token: str, home: Home, limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT; then accept no more, finish what is under way, and return."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    fleet = Fleet()
    fleet.start()
    ledger = Ledger()
    if (counted := reporting.load(home.gateway_usage)) is not None:
        ledger.resume(counted)
    deployments = Deployments(fleet)
    attendant = Attendant(control_url, token, deployments)
    gateway = Gateway(deployments, limits, Passing(control_url, limits), ledger, attendant.wake)
    kept = snapshot.load(home.gateway_snapshot)
    if kept is not None:
        gateway.update(kept)
    follower = loop.create_task(Follower(control_url, token, home.gateway_snapshot, gateway.update).run())
    reporter = Reporter(control_url, token, ledger, home.gateway_usage)
    reports = loop.create_task(reporter.run())
    attending = loop.create_task(attendant.run())
    connections = Connections(gateway, limits)
    server = await loop.create_server(connections.accept, sock=listener, backlog=_BACKLOG)
    await stopped.wait()
    server.close()
    follower.cancel()
    attending.cancel()
    await connections.drain(limits.drain_seconds)
    reports.cancel()
    await reporter.finish()
    await fleet.stop()
