"""`yard keys`."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, facts, show, table
from modelyard.cli.platform import client
from modelyard.client.keys import Key
from modelyard.client.record import when
from modelyard.errors import InvalidInput

app = typer.Typer(help="API keys: create, list, change, revoke.", no_args_is_help=True)

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


Tenant = Annotated[
    str | None,
    typer.Option(help="Another tenant, for an admin of the tenant default.", show_default=False),
]
Budget = Annotated[
    int | None,
    typer.Option(
        metavar="TOKENS", help="That it may use in a day (UTC); without it, any.", show_default=False
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID")]


@app.command()
def create(
    name: str,
    scope: Scope = None,
    expires_in: ExpiresIn = None,
    budget: Budget = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once."""
    seconds = _seconds(expires_in)
    made = client().keys.create(name, scope or ["predict"], seconds, budget=budget, tenant=tenant)
    pairs = [("id", made.id), ("key", made.secret), ("scopes", made.scopes)]
    face = facts([*pairs, ("budget", _budget(made)), ("tenant", tenant)])
    show(made.raw, as_json, face, "Keep it now: it is not shown again.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1)] = 50, tenant: Tenant = None, as_json: Json = False
) -> None:
    """List keys."""
    found = client().keys.list(limit, tenant=tenant)
    rows = [
        (
            k.id,
            k.name,
            k.scopes,
            f"...{k.raw.get('last4', '')}",
            when(k.raw.get("created_at")),
            _budget(k),
            _state(k.raw),
        )
        for k in found
    ]
    columns = ("id", "name", "scopes", "key", "made", "budget", "state")
    show([k.raw for k in found], as_json, table(columns, rows, "No key yet."))


@app.command()
def change(
    key: Id,
    budget: Annotated[str, typer.Option(metavar="TOKENS|none", help="That it may use in a day (UTC).")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Give a key another budget, from now on and for today too."""
    changed = client().keys.change(key, budget=_tokens(budget), tenant=tenant)
    show(changed.raw, as_json, facts([("id", changed.id), ("budget", _budget(changed) or "none")]))


@app.command()
def revoke(key: Id, tenant: Tenant = None, as_json: Json = False) -> None:
    """Let a key open nothing any more. What it used stays in `yard usage`."""
    client().keys.revoke(key, tenant=tenant)
    show({"id": key, "revoked": True}, as_json, f"Key {key} is revoked.")


def _tokens(text: str) -> int | None:
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InvalidInput("this is no budget", came=text, allowed="tokens a day, or none") from error


def _budget(key: Key) -> str:
    """What is used of it, as control has heard."""
    return "" if key.budget is None else f"{key.used_today:,} of {key.budget:,} today"


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
