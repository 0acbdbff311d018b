"""`yard deploy` and `yard deployments`."""

from typing import Annotated, Any

import typer

from modelyard.cli import serving
from modelyard.cli.evaluate import ModelReference
from modelyard.cli.output import Json, facts, show, table
from modelyard.cli.pairs import numbers
from modelyard.cli.platform import client
from modelyard.cli.waiting import watching
from modelyard.client.deployments import Deployment
from modelyard.client.record import when
from modelyard.errors import InvalidInput

app = typer.Typer(help="Deployments: list, show, scale, set, split, delete.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What callers call it.")]
Replicas = Annotated[int | None, typer.Option(min=1, help="Processes that answer, for each version.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return before the replicas are ready.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the replicas.")]


def deploy(
    name: Name,
    model: ModelReference,
    replicas: Replicas = None,
    no_wait: NoWait = False,
    timeout: Timeout = 60.0,
    slots: serving.Slots = None,
    context: serving.Context = None,
    threads: serving.Threads = None,
    cache: serving.Cache = None,
    fallback: serving.Fallback = None,
    first_token: serving.FirstToken = None,
    sleep: serving.Sleep = None,
    pinned: serving.Pinned = None,
    shared: serving.Shared = None,
    request_timeout: serving.RequestTimeout = None,
    as_json: Json = False,
) -> None:
    """Put a model's version behind NAME, so that it can be called."""
    settings = serving.told(slots=slots, context=context, threads=threads, cache=cache, fallback=fallback,
                            first_token=first_token, sleep=sleep, pinned=pinned, shared=shared,
                            timeout=request_timeout)  # fmt: skip
    made = client().deploy(name, model, replicas, serving=settings, wait=False)
    if not no_wait:
        with watching(as_json) as watcher:
            made = client().deployments.wait(
                name, timeout, lambda d: watcher.upload(d.ready, d.wanted, "starting")
            )
    show(made.raw, as_json, *_faces(made), f"Ask it with: yard predict {name} INPUT")


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: Json = False) -> None:
    """List deployments."""
    found = client().deployments.list(limit)
    rows = [
        (d.name, d.model, _versions(d), d.state, f"{d.ready}/{d.wanted}", when(d.raw.get("created_at")))
        for d in found
    ]
    columns = ("name", "model", "versions", "state", "ready", "made")
    face = table(columns, rows, "No deployment yet. Make one with: yard deploy NAME MODEL")
    show([d.raw for d in found], as_json, face)


@app.command("show")
def show_(name: Name, as_json: Json = False) -> None:
    """Show a deployment."""
    _print(client().deployments.show(name), as_json)


@app.command()
def scale(name: Name, replicas: Annotated[int, typer.Argument(min=0)], as_json: Json = False) -> None:
    """Let each version of a deployment have REPLICAS processes."""
    _print(client().deployments.scale(name, replicas), as_json)


@app.command("set")
def set_(
    name: Name,
    slots: serving.Slots = None,
    context: serving.Context = None,
    threads: serving.Threads = None,
    cache: serving.Cache = None,
    fallback: serving.Fallback = None,
    first_token: serving.FirstToken = None,
    sleep: serving.Sleep = None,
    pinned: serving.Pinned = None,
    shared: serving.Shared = None,
    request_timeout: serving.RequestTimeout = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(metavar="SETTING", help="Take this one back; may be given several times."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how a deployment serves. What is not named stays.

    Slots, context and threads start its replicas anew, one after the other: a version with one replica alone
    answers nothing until it has loaded again."""
    settings = serving.told(slots=slots, context=context, threads=threads, cache=cache, fallback=fallback,
                            first_token=first_token, sleep=sleep, pinned=pinned, shared=shared,
                            timeout=request_timeout)  # fmt: skip
    settings |= {_plain(setting): None for setting in unset or ()}
    if not settings:
        raise InvalidInput("nothing to set", allowed="see: yard deployments set --help")
    _print(client().deployments.set(name, **settings), as_json)


@app.command()
def split(
    name: Name,
    weights: Annotated[list[str], typer.Argument(metavar="VERSION=WEIGHT...")],
    as_json: Json = False,
) -> None:
    """Share a deployment's requests among versions, as: yard deployments split NAME 3=90 4=10"""
    _print(client().deployments.split(name, dict(numbers(weights, "split"))), as_json)


@app.command()
def delete(name: Name, as_json: Json = False) -> None:
    """Take a deployment away; its model stays."""
    client().deployments.delete(name)
    show({"name": name, "deleted": True}, as_json, f"Deployment {name} is deleted; its model stays.")


def _plain(setting: str) -> str:
    """As the API calls it: of "--first-token", "first_token"."""
    plain = setting.lstrip("-").replace("-", "_")
    return {"request_timeout": "timeout"}.get(plain, plain)


def _print(found: Deployment, as_json: bool) -> None:
    show(found.raw, as_json, *_faces(found))


def _faces(found: Deployment) -> list[Any]:
    return [
        facts(
            [
                ("deployment", found.name),
                ("model", found.model),
                ("versions", _versions(found)),
                ("state", found.state),
                ("waits", found.why),
                ("ready", f"{found.ready} of {found.wanted}"),
                ("set", serving.face(found.serving)),
                ("address", f"{client().gateway_url}/models/{found.name}"),
                ("error", (found.error or {}).get("message")),
            ]
        )
    ]


def _versions(found: Deployment) -> str:
    versions = found.raw.get("versions") or []
    return ", ".join(_version(v) for v in versions)


def _version(version: Any) -> str:
    if not isinstance(version, dict):
        return str(version)
    weight = version.get("weight")
    return f"{version.get('version')}" + ("" if weight is None else f" ({weight:g})")
