"""A user's script as a run: its files, its data sets, and what it may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from modelyard.client.transport import Transport
from modelyard.client.upload import Progress, upload
from modelyard.errors import InvalidInput

_LONGEST_REQUIREMENTS = 64 << 10


@dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """What is None is left to the platform.

    requirements  a requirements file's path, or its text where it has a line break or is a requirement itself
    include       more files that the script needs beside it
    params        for `modelyard.params()`, and as its arguments: --name value
    cpus          cores
    memory_bytes  of the script and all that it starts
    seconds       that it may take
    network       whether it may use the network
    """

    requirements: str | PathLike[str] | None = None
    include: Sequence[str | PathLike[str]] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    cpus: float | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    network: bool = False


def script_params(
    transport: Transport,
    script: Path,
    data: Sequence[str],
    options: ScriptOptions,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Send the files; the parameters of a `script` run. Raises InvalidInput for a script that is not there."""
    if not script.is_file():
        raise InvalidInput("there is no such script", came=str(script))
    files = [script, *map(Path, options.include)]
    missing = [str(f) for f in files if not f.is_file()]
    if missing:
        raise InvalidInput(
            "there is no such file", came=missing, allowed="files; a folder's are named one by one"
        )
    sent = [upload(transport, file, progress or _silent) for file in files]
    params: dict[str, Any] = {"uploads": sent, "data": list(data), "params": dict(options.params)}
    params |= {"requirements": _requirements(options.requirements), "network": options.network}
    limits = {"cpus": options.cpus, "memory_bytes": options.memory_bytes, "seconds": options.seconds}
    return params | {k: v for k, v in limits.items() if v is not None}


def _requirements(given: str | PathLike[str] | None) -> str:
    if given is None:
        return ""
    if isinstance(given, str) and ("\n" in given or not Path(given).is_file()):
        if given.endswith((".txt", ".in")):
            raise InvalidInput("there is no such requirements file", came=given)
        return given
    text = Path(given).read_text(encoding="utf-8")
    if len(text) > _LONGEST_REQUIREMENTS:
        raise InvalidInput("the requirements are too long", came=len(text), allowed=_LONGEST_REQUIREMENTS)
    return text


def _silent(done: float, total: float, text: str) -> None:
    """No one watches."""
