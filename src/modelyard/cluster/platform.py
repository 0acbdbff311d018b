"""The launcher's own processes, control and gateway, as the configuration of a home asks for them."""

import sys

import msgspec

from modelyard.cluster.secret import ensure_secret, gateway_token
from modelyard.errors import InvalidInput
from modelyard.files import write_atomic
from modelyard.home import Home
from modelyard.types.process import PlatformConfig, ProcessSpec

CONTROL, GATEWAY = "control", "gateway"
OWN = (CONTROL, GATEWAY)


def read_config(home: Home) -> PlatformConfig:
    """What the last `yard up` was told; the defaults before the first."""
    try:
        return msgspec.json.decode(home.config.read_bytes(), type=PlatformConfig)
    except FileNotFoundError:
        return PlatformConfig()
    except msgspec.MsgspecError as error:
        raise InvalidInput("config.json of the home cannot be read", came=str(error)) from error


def write_config(home: Home, config: PlatformConfig) -> None:
    """Keep what `yard up` was told, for every process that starts later."""
    write_atomic(home.config, msgspec.json.encode(config), mode=0o600)


def own_specs(home: Home, config: PlatformConfig) -> tuple[ProcessSpec, ...]:
    """Control and gateway, in the order in which they are started."""
    return (_control(home), _gateway(home, config))


def _control(home: Home) -> ProcessSpec:
    fault = str(home.state / "control.fault.json")
    return ProcessSpec(
        id=CONTROL,
        argv=(sys.executable, "-m", "modelyard.control", "--home", str(home.root), "--fault-file", fault),
        cwd=str(home.root),
        log=str(home.logs / "control.log"),
        fault_file=fault,
    )


def _gateway(home: Home, config: PlatformConfig) -> ProcessSpec:
    fault = str(home.state / "gateway.fault.json")
    argv = [sys.executable, "-m", "modelyard.gateway", "--host", config.host, "--port", str(config.port)]
    argv += ["--control-url", config.control_url, "--home", str(home.root), "--fault-file", fault]
    return ProcessSpec(
        id=GATEWAY,
        argv=tuple(argv),
        env={"YARD_GATEWAY_TOKEN": gateway_token(ensure_secret(home))},
        cwd=str(home.root),
        log=str(home.logs / "gateway.log"),
        fault_file=fault,
    )
