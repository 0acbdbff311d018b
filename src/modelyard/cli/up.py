"""`yard up`."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from modelyard.cli import ports
from modelyard.cli.output import Json, facts, say, show
from modelyard.cli.platform import HomeOption, home_of, running
from modelyard.cli.sizes import size
from modelyard.cli.starting import detached, foreground
from modelyard.cluster import table
from modelyard.cluster.platform import CONTROL, GATEWAY, read_config, write_config
from modelyard.errors import Conflict, InvalidInput, ModelyardError
from modelyard.files import write_atomic
from modelyard.home import Home
from modelyard.types.process import PlatformConfig

_OPTIONS = {"port": "--port", "control_port": "--control-port"}

Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        show_default=False,
        help="Where models are called (as last time; at first 8800; 0: any free one).",
    ),
]
ControlPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        show_default=False,
        help="Where the platform is managed (as last time; at first 8801; 0: any).",
    ),
]
HostName = Annotated[str | None, typer.Option(help="The gateway's address (127.0.0.1).", show_default=False)]
ControlHost = Annotated[str | None, typer.Option(help="Control's address (127.0.0.1).", show_default=False)]
MaxRuns = Annotated[int | None, typer.Option(min=1, help="Runs at one time (1).", show_default=False)]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="Another database than the built-in one.", show_default=False)
]
AllowUnsandboxed = Annotated[
    bool | None,
    typer.Option(
        "--allow-unsandboxed/--no-allow-unsandboxed",
        show_default=False,
        help="Run scripts and brought models where no sandbox is to be had (no, at first).",
    ),
]
ModelMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        show_default=False,
        help="Memory that models may take together, as 8G (any; 0: any again). Where one has no room, those that "
        "may sleep and were not used for longest are put to sleep.",
    ),
]
Detach = Annotated[
    bool, typer.Option("--detach", "-d", help="Start it, then return; stop it with: yard down")
]


def up(
    home: HomeOption = None,
    port: Port = None,
    control_port: ControlPort = None,
    host: HostName = None,
    control_host: ControlHost = None,
    max_runs: MaxRuns = None,
    database_url: DatabaseUrl = None,
    allow_unsandboxed: AllowUnsandboxed = None,
    model_memory: ModelMemory = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Start the platform. It stays in the foreground until Ctrl-C, or goes on by itself with --detach."""
    place = home_of(home)
    if running(place):
        _already(place, detach, as_json)
        return
    told = {
        "port": port,
        "control_port": control_port,
        "host": host,
        "control_host": control_host,
        "max_runs": max_runs,
        "database_url": database_url,
        "allow_unsandboxed": allow_unsandboxed,
    }
    given: dict[str, Any] = {k: v for k, v in told.items() if v is not None}
    if model_memory is not None:
        given["model_bytes"] = size(model_memory, "--model-memory") or None
    config = _configure(place, given)
    place.create()
    with _configured(place, config):
        if detach:
            detached(place, config)
            _announce(place, as_json, "Stop it with: yard down")
        else:
            foreground(place, config, lambda: _announce(place, as_json, "Stop it with Ctrl-C."))
            say("Modelyard is stopped.")


def _already(home: Home, detach: bool, as_json: bool) -> None:
    config = read_config(home)
    if not detach:
        error = Conflict(
            f"the platform of {home.root} is already running: control at {config.control_url}, "
            f"gateway at {config.gateway_url}"
        )
        error.add_note("stop it with: yard down")
        raise error
    raw: dict[str, Any] = _raw(home, config, None) | {"already_running": True}
    show(raw, as_json, "Modelyard is already running.", _addresses(config))


def _configure(home: Home, told: dict[str, Any]) -> PlatformConfig:
    """The last configuration with what was told now, its ports free. Raises InvalidInput or Conflict."""
    config = msgspec.structs.replace(read_config(home), **told)
    if config.port == config.control_port != 0:
        raise InvalidInput("--port and --control-port must differ", came=config.port)
    for field, host in (("port", config.host), ("control_port", config.control_host)):
        port = getattr(config, field)
        if port == 0:
            config = msgspec.structs.replace(config, **{field: ports.any_free(host)})
        elif not ports.is_free(host, port) and not _ours(home, field):
            raise _taken(host, port, _OPTIONS[field])
    return config


@contextmanager
def _configured(home: Home, config: PlatformConfig) -> Iterator[None]:
    """Keep the configuration, but for a start that fails: other commands go by it, with this home's key."""
    before = home.config.read_bytes() if home.config.exists() else None
    write_config(home, config)
    try:
        yield
    except ModelyardError:
        if before is None:
            home.config.unlink(missing_ok=True)
        else:
            write_atomic(home.config, before)
        raise


def _ours(home: Home, field: str) -> bool:
    """Whether a gateway or control whose launcher died still lives, and so holds its own port."""
    owner = GATEWAY if field == "port" else CONTROL
    records = {r.spec.id: r for r in table.load(home.launcher_table)}
    record = records.get(owner)
    return record is not None and record.identity is not None and record.identity.alive()


def _taken(host: str, port: int, option: str) -> Conflict:
    who = ports.holder(port)
    error = Conflict(f"port {port} ({option}) is taken by {who or 'another process'}")
    error.add_note(f"pick another, as in: yard up {option} {ports.next_free(host, port)}")
    return error


def _announce(home: Home, as_json: bool, stop: str) -> None:
    config = read_config(home)
    key = None if home.key_shown.exists() else _admin_key(home)
    lines: list[Any] = ["Modelyard is up.", _addresses(config)]
    if key:
        lines += [f"  admin key  {key}", f"  It is kept in {home.credentials}, which only you can read."]
    if home.root != Home.from_environment().root:
        lines += [f"Tell other commands of this home with: export YARD_HOME={shlex.quote(str(home.root))}"]
    if key:
        lines += ["Next: yard data add digits"]
    show(_raw(home, config, key), as_json, *lines, stop)
    sys.stdout.flush()
    if key:
        home.key_shown.touch()


def _raw(home: Home, config: PlatformConfig, key: str | None) -> dict[str, Any]:
    raw = {"home": str(home.root), "control_url": config.control_url, "gateway_url": config.gateway_url}
    return raw | ({"api_key": key} if key else {})


def _addresses(config: PlatformConfig) -> Any:
    return facts([("  models are called at", config.gateway_url), ("  it is managed at", config.control_url)])


def _admin_key(home: Home) -> str | None:
    try:
        return msgspec.json.decode(Path(home.credentials).read_bytes(), type=dict[str, str]).get("api_key")
    except FileNotFoundError:
        return None
