"""`yard keys`."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, facts, show, table
from modelyard.cli.platform import client
from modelyard.client.record import when
from modelyard.errors import InvalidInput

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Scope = Annotated[
    list[str] | None,
    typer.Option(
        help="predict (by default), track (experiments and runs), metrics or admin.", show_default=False
    ),
]
ExpiresIn = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="As 30d, 12h or 90m; without it, never.", show_default=False),
]


@app.command()
def create(name: str, scope: Scope = None, expires_in: ExpiresIn = None, as_json: Json = False) -> None:
    """Make a key. It is shown once."""
    made = client().keys.create(name, scope or ["predict"], _seconds(expires_in))
    face = facts([("id", made.id), ("key", made.secret), ("scopes", made.scopes)])
    show(made.raw, as_json, face, "Keep it now: it is not shown again.")


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: Json = False) -> None:
    """List keys."""
    found = client().keys.list(limit)
    rows = [
        (
            k.id,
            k.name,
            k.scopes,
            f"...{k.raw.get('last4', '')}",
            when(k.raw.get("created_at")),
            _state(k.raw),
        )
        for k in found
    ]
    columns = ("id", "name", "scopes", "key", "made", "state")
    show([k.raw for k in found], as_json, table(columns, rows, "No key yet."))


@app.command()
def revoke(key: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Let a key open nothing any more."""
    client().keys.revoke(key)
    show({"id": key, "revoked": True}, as_json, f"Key {key} is revoked.")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        return float(number) * _UNITS[unit]
    except ValueError as error:
        raise InvalidInput(
            "this is no length of time", came=text, allowed="as 30d, 12h, 90m or 3600s"
        ) from error


def _state(raw: dict[str, Any]) -> str:
    """Whether the key opens anything, and until when."""
    expires = raw.get("expires_at")
    if raw.get("revoked_at") is not None:
        return f"revoked {when(raw['revoked_at'])}"
    if expires is None:
        return "good"
    said = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"good until {said}" if expires > time.time() else f"expired {said}"
