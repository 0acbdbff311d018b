"""Real replicas and gateways as processes, and the small control that tells a gateway of them."""

import hmac
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from modelyard import packages
from modelyard.errors import Unavailable
from modelyard.home import Home
from modelyard.serving.probe import Probed, probe
from modelyard.types.route import KeyGrant, Route, RouteVersion, Snapshot
from waiting import wait_until

TABLE = {
    "inputs": [
        {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "b", "shape": [1], "datatype": "FP64", "data": [2.0]},
    ]
}
"""A good request to the small package, in the Open Inference Protocol."""

SECRET = "5a" * 32
TOKEN = "gateway-token"
KEYS = {
    "key-admin": KeyGrant(id="1", tenant="default", scopes=("admin",)),
    "key-predict": KeyGrant(id="2", tenant="default", scopes=("predict",)),
    "key-metrics": KeyGrant(id="3", tenant="default", scopes=("metrics",)),
    "key-expired": KeyGrant(id="4", tenant="default", scopes=("admin",), expires_at=1.0),
    "key-other": KeyGrant(id="5", tenant="other", scopes=("predict",)),
}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def snapshot(*routes: Route) -> Snapshot:
    hashed = {hmac.digest(bytes.fromhex(SECRET), key.encode(), "sha256").hex(): g for key, g in KEYS.items()}
    return Snapshot(secret=SECRET, keys=hashed, routes=routes)


def route(name: str, task: str, *versions: RouteVersion, **fields: object) -> Route:
    return Route(
        tenant="default",
        name=name,
        model=name,
        task=task,
        revision=1,
        created_at=1.0,
        versions=versions,
        **fields,
    )  # type: ignore[arg-type]


class Process:
    """A child that is ended by its own id."""

    def __init__(self, argv: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                [sys.executable, "-m", *argv],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def output(self) -> str:
        return self.log.read_text()

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def wait(self, seconds: float = 15.0) -> int:
        return self.child.wait(seconds)

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
            self.child.wait(10)


class Replica(Process):
    """Serves the package in `folder` at `socket`."""

    def __init__(self, folder: Path, name: str, at: Path, *, version: str = "1", max_batch: int = 64) -> None:
        self.socket = at
        self.fault = at.with_suffix(".fault")
        self.digest = packages.digest(packages.read(folder))
        options = {
            "--package": folder,
            "--digest": self.digest,
            "--name": name,
            "--version": version,
            "--socket": at,
            "--fault-file": self.fault,
            "--max-batch": max_batch,
        }
        argv = ["modelyard.serving.replica", *(str(x) for pair in options.items() for x in pair)]
        super().__init__(argv, at.with_suffix(".log"))

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    def ready(self) -> "Replica":
        wait_until(self.probe, 30, f"the replica ({self.log})")
        return self

    def probe(self) -> Probed | None:
        try:
            return probe(self.address)
        except Unavailable:
            return None

    def serves(self, version: str = "1", weight: float = 1.0, *others: "Replica") -> RouteVersion:
        replicas = tuple(r.address for r in (self, *others))
        return RouteVersion(version=version, digest=self.digest, weight=weight, replicas=replicas)


class Control:
    """GET /internal/snapshots, as the real one streams it."""

    def __init__(self, first: Snapshot, port: int = 0) -> None:
        self._snapshot = first
        self._changed = threading.Condition()
        self._stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, snapshot: Snapshot) -> None:
        with self._changed:
            self._snapshot = snapshot
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        control = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                good = self.headers["Authorization"] == f"Bearer {TOKEN}"
                self.send_response(200 if good and self.path == "/internal/snapshots" else 401)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if good:
                    control._stream(self)
                self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                """Not into the tests' output."""

        return Handler

    def _stream(self, handler: BaseHTTPRequestHandler) -> None:
        sent = None
        while not self._stopped:
            with self._changed:
                if sent is self._snapshot:
                    self._changed.wait(1.0)
                sent_before, sent = sent, self._snapshot
            line = b"\n" if sent_before is sent else msgspec.json.encode(sent) + b"\n"
            try:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            except OSError:
                return


class LiveGateway(Process):
    """A gateway on a port of its own."""

    def __init__(self, home: Path, control_url: str, limits: str = "{}", port: int | None = None) -> None:
        Home(home).create()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        argv = ["modelyard.gateway", "--port", str(self.port), "--control-url", control_url]
        argv += ["--home", str(home), "--limits", limits, "--fault-file", str(home / "gateway.fault")]
        super().__init__(argv, home / "gateway.log", {"YARD_GATEWAY_TOKEN": TOKEN})

    def ready(self) -> "LiveGateway":
        wait_until(lambda: self.status("/v2/health/ready") == 200, 20, f"the gateway ({self.log})")
        return self

    def serving(self, *models: str) -> "LiveGateway":
        for model in models:
            wait_until(lambda m=model: self.status(f"/v2/models/{m}/ready") == 200, 20, f"model {model}")
        return self

    def status(self, path: str, key: str = "key-admin") -> int:
        try:
            return int(
                self.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n").split()[1]
            )
        except (OSError, IndexError):
            return 0

    def connect(self, timeout: float = 10.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, *pieces: str | bytes, timeout: float = 10.0) -> bytes:
        """Send bytes, say that they are all, and read to the end of the connection."""
        with self.connect(timeout) as s:
            for piece in pieces:
                s.sendall(piece.encode("latin-1") if isinstance(piece, str) else piece)
            with suppress(OSError):  # the gateway may have ended the connection already
                s.shutdown(socket.SHUT_WR)
            return read_all(s)


def read_all(s: socket.socket) -> bytes:
    """To the end of the connection, however it ends."""
    data = b""
    while True:
        try:
            part = s.recv(65536)
        except ConnectionError:
            return data
        if not part:
            return data
        data += part
