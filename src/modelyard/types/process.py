"""What the launcher starts, and what it says of it. The launcher knows nothing of models."""

from typing import Literal

from msgspec import Struct

ProcessPhase = Literal["starting", "running", "waiting", "ended"]


class PlatformConfig(Struct, frozen=True, kw_only=True):
    """`config.json`: what `yard up` was told. `database_url` and `blob_url` are None for the embedded defaults."""

    host: str = "127.0.0.1"
    port: int = 8800
    control_host: str = "127.0.0.1"
    control_port: int = 8801
    max_runs: int = 1  # training runs at one time
    max_scripts: int = 2  # users' scripts at one time
    max_batches: int = 4  # batches at one time; half of them, rounded up, of one tenant
    upload_bytes: int = 64 << 30  # the largest upload
    storage_bytes: int = 1 << 40  # what a tenant's data sets, packages and uploads may take
    database_url: str | None = None
    allow_unsandboxed: bool = False  # run code that is not ours where there is no sandbox
    model_bytes: int | None = None  # memory that replicas may take together; None: any
    sandbox_bytes: int | None = None  # memory of a replica in a sandbox; None: half of the machine's

    @property
    def gateway_url(self) -> str:
        return _url(self.host, self.port)

    @property
    def control_url(self) -> str:
        return _url(self.control_host, self.control_port)


def _url(host: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """One process that should be.

    restart       "always": started again whenever it ends, with a pause that doubles from 0.1 s to 30 s while it
                  lives shorter than 10 s; "never": its end is reported and stays in the table until it is dropped
    fault_file    where the process itself writes {"code", "message"} before it gives up, or None; removed before
                  each start
    stop_grace    seconds between SIGTERM and SIGKILL
    """

    id: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str | None = None
    log: str
    restart: Literal["always", "never"] = "always"
    fault_file: str | None = None
    stop_grace: float = 10.0
    memory_bytes: int | None = None  # RLIMIT_DATA
    open_files: int | None = None
    nice: int = 0


class ProcessStatus(Struct, frozen=True, kw_only=True):
    """One line of the launcher's table. Times are seconds since the epoch."""

    id: str
    phase: ProcessPhase
    pid: int | None = None
    started_at: float | None = None
    starts: int = 0
    exit_code: int | None = None  # negative: the signal
    fault: dict[str, str] | None = None


class Apply(Struct, frozen=True, kw_only=True, tag="apply"):
    """Control -> launcher: these processes should be and no others (besides the launcher's own)."""

    processes: tuple[ProcessSpec, ...]


class Watch(Struct, frozen=True, kw_only=True, tag="watch"):
    """-> launcher: send a Table now and after each change, until the connection ends."""


class Stop(Struct, frozen=True, kw_only=True, tag="stop"):
    """-> launcher: stop everything and end."""


class Table(Struct, frozen=True, kw_only=True, tag="table"):
    """Launcher -> anyone. `launcher_pid` is its own."""

    launcher_pid: int
    processes: tuple[ProcessStatus, ...]


Command = Apply | Watch | Stop
"""One JSON object a line on the launcher's unix socket; each is answered with a Table."""
