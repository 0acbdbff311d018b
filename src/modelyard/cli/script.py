"""`yard run`."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from modelyard.cli.output import Json, show
from modelyard.cli.pairs import pairs
from modelyard.cli.platform import client
from modelyard.cli.runs import faces, started
from modelyard.cli.waiting import NoWait
from modelyard.client.recipe import value_of
from modelyard.client.runs import Run
from modelyard.client.script import ScriptOptions
from modelyard.errors import InvalidInput

_SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TIMES: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

Data = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[:VERSION]", show_default=False, help="A data set that the script may read."),
]
Requirements = Annotated[
    Path | None,
    typer.Option(show_default=False, help="A requirements file: the script gets an environment of its own."),
]
Param = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", show_default=False, help="For modelyard.params(), and as --KEY VALUE."),
]
Include = Annotated[
    list[Path] | None, typer.Option(show_default=False, help="Another file that the script needs beside it.")
]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", show_default=False, help="Of all its processes, as 4G (8G).")
]
Time = Annotated[
    str | None, typer.Option(metavar="TIME", show_default=False, help="That it may take, as 90m (24h).")
]


def run(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT.py")],
    data: Data = None,
    requirements: Requirements = None,
    param: Param = None,
    include: Include = None,
    cpus: Annotated[float | None, typer.Option(show_default=False, help="Cores that it may use.")] = None,
    memory: Memory = None,
    time: Time = None,
    network: Annotated[bool, typer.Option("--network", help="Let it use the network.")] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Run a script of any framework as a run: its own process, log, metrics, models and artifacts."""
    options = ScriptOptions(
        requirements=requirements,
        include=tuple(include or ()),
        params={k: value_of(v) for k, v in pairs(param or [], "--param").items()},
        cpus=cpus,
        memory_bytes=None if memory is None else int(_amount("--memory", memory, _SIZES)),
        seconds=None if time is None else _amount("--time", time, _TIMES),
        network=network,
    )
    found = client().run(script, data=data or (), options=options, wait=False)
    if no_wait:
        return started(found, as_json)
    _follow(found, quiet=as_json)
    ended = found.wait()
    show(ended.raw, as_json, *faces(ended, _last(ended)), _next(ended))


def _follow(run: Run, quiet: bool) -> None:
    """Print what it prints, as it comes."""
    if quiet:
        return
    try:
        for part in client().runs.follow(run.id):
            sys.stdout.write(part)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\nThe run goes on. Stop it with: yard runs cancel {run.id}", file=sys.stderr)
        raise


def _last(run: Run) -> dict[str, Any]:
    return {name: points[-1][1] for name, points in run.metrics().items() if points}


def _next(run: Run) -> str:
    models = [f"{m['name']}:{m['version']}" for m in run.outputs.get("models") or ()]
    if not models:
        return "It logged no model; modelyard.log_model(model, name=...) makes one that can be deployed."
    name = models[0].partition(":")[0]
    return f"Made {', '.join(models)}. Next: yard deploy {name} {name}"


def _amount(option: str, text: str, units: dict[str, int]) -> float:
    """ "4G" -> 4 * 2^30, "90m" -> 5400. Raises InvalidInput."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-z]?)(?:i?b)?", text.strip().lower())
    if found is None or found[2] not in units or float(found[1]) <= 0:
        raise InvalidInput(
            option, came=text, allowed=f"a number with one of: {', '.join(u.upper() for u in units if u)}"
        )
    return float(found[1]) * units[found[2]]
