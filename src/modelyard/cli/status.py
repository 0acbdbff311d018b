"""`yard status`."""

import os
from typing import Any

import msgspec
import typer

from modelyard.cli.output import Json, facts, show, table
from modelyard.cli.platform import HomeOption, home_of, running
from modelyard.client import Client
from modelyard.client.record import when
from modelyard.cluster.platform import read_config
from modelyard.errors import ModelyardError, Unavailable
from modelyard.home import Home

_SAID = ("url", "gateway_url", "processes")  # of control's answer: shown by other means
_DOWN = "Modelyard is not running here. Start it with: yard up"


def status(home: HomeOption = None, as_json: Json = False) -> None:
    """Say what runs. Exit status 1: the platform is down, or control does not answer."""
    place = home_of(home)
    found = running(place)
    client = Client(home=place, patience=0.0)
    answer, error = _ask(client) if found or _elsewhere(place) else (None, Unavailable(_DOWN))
    raw: dict[str, Any] = {
        "running": found is not None,
        "control": answer,
        "control_url": client.settings.url,
    }
    raw |= {
        "gateway_url": client.settings.gateway_url or read_config(place).gateway_url,
        "home": str(place.root),
    }
    raw["processes"] = [] if found is None else msgspec.to_builtins(found.processes)
    raw |= {} if error is None else {"error": error.to_dict()}
    show(raw, as_json, *_faces(raw))
    if error is not None:
        raise typer.Exit(1)


def _elsewhere(home: Home) -> bool:
    """Whether another machine's platform is asked for, or one whose launcher is gone for now."""
    return "YARD_URL" in os.environ or home.credentials.exists()


def _ask(client: Client) -> tuple[dict[str, Any] | None, ModelyardError | None]:
    try:
        return client.status(), None
    except ModelyardError as error:
        return None, error


def _faces(raw: dict[str, Any]) -> list[Any]:
    if not raw["running"] and raw["control"] is None:
        return [_DOWN]
    rows = [
        (p["id"], p["phase"], p["pid"], p["starts"], when(p["started_at"]), _end(p)) for p in raw["processes"]
    ]
    faces: list[Any] = [
        facts([("models are called at", raw["gateway_url"]), ("it is managed at", raw["control_url"])])
    ]
    if rows:
        faces.append(table(("process", "phase", "pid", "starts", "started", "last end"), rows, ""))
    if raw["control"]:
        faces.append(facts((k.replace("_", " "), v) for k, v in raw["control"].items() if k not in _SAID))
    else:
        faces.append(f"control does not answer: {raw['error']['message']}")
    return faces


def _end(process: dict[str, Any]) -> str:
    fault = process.get("fault") or {}
    code = process.get("exit_code")
    return fault.get("message") or ("" if code is None else f"status {code}")
