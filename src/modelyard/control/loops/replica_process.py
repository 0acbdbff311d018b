"""How a replica's process is started: as it is, in a sandbox, and with an environment of its own."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from modelyard import environments
from modelyard.control.platform import Platform
from modelyard.engines.table import ENGINES, generator_format
from modelyard.errors import Corrupt
from modelyard.trust import sandbox
from modelyard.trust.sandbox import FAULT_FD, SOCKET_FD, Limits, Sandbox
from modelyard.types.package import MANIFEST_NAME, Manifest
from modelyard.types.process import PlatformConfig, ProcessSpec
from modelyard.types.route import Serving

_PLAIN: Final = "onnx"  # its files are data; what other engines open can carry code
_DECODER: Final = "onnx-decoder"  # ONNX graphs too
_OUTSIDE: Final = "vllm"  # needs the machine's GPUs and hosts; reads safetensors and JSON alone
_PROCESSES: Final = 64
_LOG_BYTES: Final = 64 << 20  # the launcher empties logs each minute
_REQUIREMENTS: Final = "requirements.txt"
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a package asks for. `generates`: its engine batches by itself, and chooses its own threads.
    `requirements` is the digest of its environment, `text` the package's own file of them, where it has one."""

    sandbox: bool
    generates: bool = False
    requirements: str | None = None
    text: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """One replica. `file` is the beginning of its files' names in logs/ and state/. Of `serving`, slots, context
    and threads are told to the process."""

    id: str
    file: str
    name: str
    number: int
    digest: str
    socket: Path
    serving: Serving = field(default_factory=Serving)


def needs_of(platform: Platform, digest: str) -> Needs:
    """By the manifest of a package that is laid out. Raises Corrupt, Unavailable where it needs a sandbox and there
    is none, InvalidInput for requirements that are none."""
    folder = platform.home.packages / digest
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        raise Corrupt.because(MANIFEST_NAME, "cannot be read") from None
    engine = next((name for name in ENGINES if name in manifest.formats), None)
    wanted = manifest.requirements if isinstance(manifest.requirements, str) else None
    if wanted is not None and not environments.is_digest(wanted):
        raise Corrupt.because(MANIFEST_NAME, "names no environment", came=wanted)
    form = generator_format(manifest)  # a replica opens it, whatever else there is
    if engine == _PLAIN and form is None and wanted is None:
        return Needs(sandbox=False)
    if form in (_DECODER, _OUTSIDE) and wanted is None:
        return Needs(sandbox=False, generates=True)
    sandbox.demand(platform.config.allow_unsandboxed)
    generates = form is not None
    if wanted is not None and _REQUIREMENTS in manifest.files:  # on another machine it is another environment
        text = folder / _REQUIREMENTS
        wanted = environments.digest(environments.read_file(text))
        return Needs(sandbox=True, generates=generates, requirements=wanted, text=text)
    return Needs(sandbox=True, generates=generates, requirements=wanted)


def spec_of(platform: Platform, start: Start, needs: Needs) -> ProcessSpec:
    """The same for the same replica, always: the launcher starts one anew whose spec has changed."""
    home = platform.home
    fault = home.state / f"{start.file}.fault.json"
    argv = _sandboxed(platform, start, needs, fault) if needs.sandbox else _plain(platform, start, fault)
    return ProcessSpec(
        id=start.id,
        argv=tuple(argv),
        env={} if needs.generates else _ONE_THREAD,
        cwd=str(home.root),
        log=str(home.logs / f"{start.file}.log"),
        fault_file=str(fault),
    )


def _plain(platform: Platform, start: Start, fault: Path) -> list[str]:
    at = ["--socket", str(start.socket), "--fault-file", str(fault)]
    return [*_replica(platform, start, sys.executable), *at]


def _sandboxed(platform: Platform, start: Start, needs: Needs, fault: Path) -> list[str]:
    """It sees its package, and of the platform nothing else: it is handed a socket, and a pipe for its fault."""
    home, folder = platform.home, platform.home.environments
    python, read = Path(sys.executable), [home.packages / start.digest]
    if needs.requirements is not None:
        python = environments.python_of(folder, needs.requirements)
        read.append(folder / needs.requirements)
    box = Sandbox(
        read=tuple(read),
        hide=(home.root,),
        cwd=Path("/"),
        env={"OMP_WAIT_POLICY": "PASSIVE"} | ({} if needs.generates else _ONE_THREAD),
        limits=Limits(
            memory_bytes=_memory(platform.config),
            processes=_PROCESSES,
            file_bytes=_LOG_BYTES,
            disk_bytes=None,
        ),
    )
    at = ["--socket-fd", str(SOCKET_FD), "--fault-fd", str(FAULT_FD)]
    inner = [*_replica(platform, start, str(python)), *at]
    argv = sandbox.watched(inner, box, fault_file=fault, listen=start.socket)
    return argv if needs.requirements is None else [*_entering(folder, needs, fault), *argv]


def _replica(platform: Platform, start: Start, python: str) -> list[str]:
    argv = [python, "-m", "modelyard.serving.replica"]
    argv += ["--package", str(platform.home.packages / start.digest), "--digest", start.digest]
    argv += ["--name", start.name, "--version", str(start.number)]
    for setting in ("slots", "context", "threads"):
        if (value := getattr(start.serving, setting)) is not None:
            argv += [f"--{setting}", str(value)]
    return argv


def _entering(folder: Path, needs: Needs, fault: Path) -> list[str]:
    """Builds the environment where it is not there, in the replica's own process."""
    argv = [sys.executable, "-m", "modelyard.environments.enter", str(folder), str(needs.requirements)]
    argv += ["--requirements", str(needs.text)] if needs.text else []
    return [*argv, "--fault-file", str(fault), "--"]


def _memory(config: PlatformConfig) -> int:
    if config.sandbox_bytes is not None:
        return config.sandbox_bytes
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
