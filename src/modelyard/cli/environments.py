"""`yard env`."""

from typing import Annotated

import typer

from modelyard.cli.output import Json, facts, show, table
from modelyard.cli.platform import client
from modelyard.client.environments import Environment
from modelyard.client.record import when

app = typer.Typer(help="Environments of scripts: list, show, remove, collect.", no_args_is_help=True)

Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="Its first 8 digits or more.")]
Days = Annotated[float | None, typer.Option(min=0, help="Unused for so many days (30).", show_default=False)]
_SHOWN = 12  # digits of a digest
_LINES = 4  # requirements in a list


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: Json = False) -> None:
    """List environments."""
    found = client().environments.list(limit)
    rows = [
        (e.digest[:_SHOWN], _short(e), size(e.size), _made(e), when(e["used_at"]), e.users) for e in found
    ]
    columns = ("digest", "requirements", "size", "made", "used", "needed by")
    face = table(columns, rows, "No environment yet. Make one, with: yard run SCRIPT --requirements FILE")
    show([e.raw for e in found], as_json, face)


@app.command("show")
def show_(digest: Digest, as_json: Json = False) -> None:
    """Show one environment and what it holds besides the platform's own libraries."""
    found = client().environments.show(digest)
    raw = found.raw
    face = facts(
        [
            ("digest", found.digest),
            ("requirements", found.requirements),
            ("python", raw.get("python")),
            ("size", size(found.size)),
            ("made", _made(found)),
            ("used", when(raw.get("used_at"))),
            ("needed by", found.users),
        ]
    )
    rows = sorted((raw.get("installed") or {}).items())
    show(raw, as_json, face, table(("package", "version"), rows, "It holds no package of its own."))


@app.command()
def remove(digest: Digest, as_json: Json = False) -> None:
    """Remove an environment that nothing needs. It is built again when it is asked for."""
    found = client().environments.show(digest)
    client().environments.remove(found.digest)
    said = f"Removed {found.digest[:_SHOWN]}, {size(found.size)}."
    show({"digest": found.digest, "removed": True}, as_json, said)


@app.command()
def collect(days: Days = None, as_json: Json = False) -> None:
    """Remove what nothing needs and nobody asked for lately."""
    raw = client().environments.collect(days)
    count = len(raw["removed"])
    said = f"Removed {count} environment{'s' * (count != 1)}, {size(raw['bytes'])}."
    show(raw, as_json, said)


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / (1 << 20):.1f} MiB" if count < 1 << 30 else f"{count / (1 << 30):.1f} GiB"


def _short(environment: Environment) -> str:
    lines = environment.requirements
    more = len(lines) - _LINES
    return ", ".join(lines[:_LINES]) + (f" and {more} more" if more > 0 else "")


def _made(environment: Environment) -> str:
    return when(environment["made_at"]) if environment.built else "not whole"
