"""What `yard doctor` looks at. Each check says what it found and, where something is wrong, what to do."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from modelyard.cli import ports
from modelyard.cli.platform import running
from modelyard.cluster.platform import read_config
from modelyard.errors import ModelyardError
from modelyard.home import Home
from modelyard.trust import sandbox

Level = Literal["ok", "note", "blocks"]

_LEAST_DISK = 1 << 30
_LEAST_FILES = 1024
_EXTRAS = {
    "sklearn": ("sklearn", "skl2onnx", "skops", "pandas"),
    "torch": ("torch", "onnxscript"),
    "tensorflow": ("tensorflow", "keras", "tf2onnx"),
    "text": ("tokenizers",),
    "transformers": ("transformers", "tokenizers"),
    "openvino": ("openvino",),
    "hub": ("huggingface_hub",),
}
_SHOWN = ("numpy", "onnxruntime", "pyarrow", "sqlalchemy", "uvicorn")


class Finding(Struct, frozen=True, kw_only=True):
    """`blocks`: the platform cannot start, or work, until the remedy is taken."""

    check: str
    level: Level
    found: str
    remedy: str | None = None


def check_all(home: Home) -> Iterator[Finding]:
    """Every check, in the order in which they are read best."""
    yield _python()
    yield from _libraries()
    yield from _extras()
    yield _home(home)
    yield _disk(home)
    yield _files()
    yield _isolation(home)
    yield from _ports(home)
    yield _system()


def _python() -> Finding:
    version = platform.python_version()
    return Finding(check="python", level="ok", found=f"{version} at {sys.executable}")


def _libraries() -> Iterator[Finding]:
    """The core's dependencies, as its own metadata names them."""
    missing = [r for r in _requirements() if importlib.util.find_spec(_module(r)) is None]
    if missing:
        remedy = "pip install --force-reinstall modelyard"
        yield Finding(
            check="libraries", level="blocks", found=f"missing: {', '.join(missing)}", remedy=remedy
        )
        return
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    yield Finding(check="libraries", level="ok", found=found)
    yield _onnxruntime()


def _requirements() -> list[str]:
    """Names of what the core needs."""
    lines = importlib.metadata.requires("modelyard") or []
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines if "extra ==" not in line)
    return [n.group() for n in names if n]


def _module(distribution: str) -> str:
    names = {"pillow": "PIL", "pyyaml": "yaml", "prometheus-client": "prometheus_client"}
    return names.get(distribution, distribution.replace("-", "_"))


def _onnxruntime() -> Finding:
    try:
        import onnxruntime
    except ImportError as error:
        remedy = "pip install --force-reinstall onnxruntime"
        return Finding(check="onnxruntime", level="blocks", found=f"cannot be loaded: {error}", remedy=remedy)
    found = ", ".join(p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers())
    return Finding(check="onnxruntime", level="ok", found=f"runs on {found}")


def _extras() -> Iterator[Finding]:
    for extra, modules in _EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        if missing:
            found, remedy = f"not installed ({', '.join(missing)})", f"pip install 'modelyard[{extra}]'"
            yield Finding(check=f"extra {extra}", level="note", found=found, remedy=remedy)
        else:
            yield Finding(check=f"extra {extra}", level="ok", found="installed")


def _home(home: Home) -> Finding:
    folder = home.root
    if not folder.exists():
        above = next(p for p in folder.parents if p.exists())
        if not os.access(above, os.W_OK):
            remedy = "name another with --home or YARD_HOME"
            return Finding(check="home", level="blocks", found=f"{folder} cannot be made", remedy=remedy)
        return Finding(check="home", level="ok", found=f"{folder} will be made by yard up")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        remedy = (
            f"chown it to yourself, or name another with --home or YARD_HOME; now it is {_owner(folder)}'s"
        )
        return Finding(check="home", level="blocks", found=f"{folder} cannot be written", remedy=remedy)
    if folder.stat().st_mode & 0o077:
        remedy = f"chmod 700 {folder}"
        return Finding(check="home", level="note", found=f"{folder} is open to other users", remedy=remedy)
    return Finding(check="home", level="ok", found=str(folder))


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except KeyError:
        return f"user {folder.stat().st_uid}"


def _disk(home: Home) -> Finding:
    folder = next(p for p in (home.root, *home.root.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free"
    if free < _LEAST_DISK:
        remedy = "free 1 GiB, or name a home on another disk with --home or YARD_HOME"
        return Finding(check="disk", level="blocks", found=found, remedy=remedy)
    return Finding(check="disk", level="ok", found=found)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_FILES:
        remedy = f"ulimit -n {_LEAST_FILES if hard == resource.RLIM_INFINITY else min(hard, 65536)}"
        found = f"{soft} open files: too few for many connections"
        return Finding(check="open files", level="note", found=found, remedy=remedy)
    return Finding(check="open files", level="ok", found=str(soft))


def _isolation(home: Home) -> Finding:
    """What holds back code that is not the platform's own."""
    lack = sandbox.lacking()
    if lack is None:
        return Finding(
            check="isolation", level="ok", found="bubblewrap: scripts and brought models run in sandboxes"
        )
    if read_config(home).allow_unsandboxed:
        found = f"none, and {lack}: scripts and brought models run with the platform's own rights"
        remedy = f"{sandbox.remedy()}, and start with: yard up --no-allow-unsandboxed"
        return Finding(check="isolation", level="note", found=found, remedy=remedy)
    found = f"limits alone, for {lack}: scripts, model files and models that are not ONNX are refused"
    remedy = f"{sandbox.remedy()}; or, if you trust all who bring some: yard up --allow-unsandboxed"
    return Finding(check="isolation", level="note", found=found, remedy=remedy)


def _ports(home: Home) -> Iterator[Finding]:
    config = read_config(home)
    ours = running(home) is not None
    for option, host, port in (("--port", config.host, config.port),
                               ("--control-port", config.control_host, config.control_port)):  # fmt: skip
        yield _port(f"port {port}", option, (host, port), ours)


def _port(check: str, option: str, address: tuple[str, int], ours: bool) -> Finding:
    host, port = address
    try:
        free = ports.is_free(host, port)
    except ModelyardError as error:
        return Finding(check=check, level="blocks", found=error.message, remedy="give another --host")
    if free:
        return Finding(check=check, level="ok", found="free")
    who = ports.holder(port)
    if ours:
        return Finding(check=check, level="ok", found=f"held by this platform: {who or 'running'}")
    remedy = f"yard up {option} {ports.next_free(host, port)}"
    return Finding(check=check, level="blocks", found=f"taken by {who or 'another process'}", remedy=remedy)


def _system() -> Finding:
    found = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores"
    if not hasattr(os, "pidfd_open"):
        text = "without pidfd (Linux only): the ends of adopted processes are found by looking, each 0.05 s"
        return Finding(check="system", level="note", found=f"{found}; {text}")
    return Finding(check="system", level="ok", found=found)
