"""`yard models`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, facts, figures, show, table
from modelyard.cli.platform import client
from modelyard.cli.report import report_faces
from modelyard.client.models import Model, split_reference
from modelyard.client.record import when

app = typer.Typer(help="Models: list, show, report, alias, delete.", no_args_is_help=True)


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: Json = False) -> None:
    """List models."""
    found = client().models.list(limit)
    rows = [(m.name, m.task, m.version, m.aliases) for m in found]
    face = table(("name", "task", "newest", "aliases"), rows, "No model yet. Train one, with: yard train")
    show([m.raw for m in found], as_json, face)


@app.command("show")
def show_(
    model: Annotated[str, typer.Argument(metavar="MODEL[:VERSION|@ALIAS]")], as_json: Json = False
) -> None:
    """Show a model's versions, or one version with its figures."""
    if ":" in model or "@" in model:
        raw = client().models.version(model) | {"name": split_reference(model)[0]}
        show(raw, as_json, *_version_faces(raw))
    else:
        found = client().models.show(model)
        show(found.raw, as_json, *_faces(found))


@app.command()
def report(
    model: Annotated[str, typer.Argument(metavar="MODEL[:VERSION|@ALIAS]")],
    out: Annotated[
        Path | None, typer.Option(help="Where the page with the pictures goes (HTML).", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what the newest evaluation of a version found."""
    models = client().models
    found = models.report(model)
    version = f"{split_reference(model)[0]}:{models.version(model)['version']}"
    if out is not None:
        out.write_bytes(models.report_page(model))
    last = f"The page is in {out}." if out else f"With pictures: yard models report {model} --out report.html"
    show(found, as_json, *report_faces(found, version), last)


@app.command()
def delete(model: Annotated[str, typer.Argument(metavar="MODEL:VERSION")], as_json: Json = False) -> None:
    """Delete a version. One that a deployment serves is kept."""
    client().models.delete(model)
    show({"deleted": model}, as_json, f"{model} is deleted.")


@app.command()
def alias(
    name: Annotated[str, typer.Argument(metavar="MODEL")],
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="As champion.")],
    version: Annotated[str | None, typer.Argument(metavar="VERSION", show_default=False)] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Forget the alias.")] = False,
    as_json: Json = False,
) -> None:
    """Let ALIAS mean a version of MODEL, whatever it meant before."""
    if (version is None) != delete:
        raise typer.BadParameter("give a VERSION, or --delete")
    models = client().models
    if version is None:
        found = models.unalias(name, alias)
    else:
        found = models.alias(name, alias, int(version) if version.isdigit() and len(version) < 8 else version)
    show(found.raw, as_json, *_faces(found))


def _faces(found: Model) -> list[Any]:
    rows = [
        (
            v["version"],
            figures(v.get("summary") or {}),
            v.get("digest", "")[:12],
            when(v.get("created_at")),
        )
        for v in found.versions
    ]
    head = facts([("model", found.name), ("task", found.task), ("aliases", found.aliases)])
    return [head, table(("version", "figures", "digest", "made"), rows, "No version yet.")]


def _version_faces(raw: dict[str, Any]) -> list[Any]:
    manifest = raw.get("manifest") or {}
    net = manifest.get("net") or {}
    return [
        facts(
            [
                ("model", f"{raw['name']}:{raw['version']}"),
                ("task", raw.get("task") or manifest.get("task")),
                ("net", net.get("name")),
                ("figures", figures(raw.get("summary") or {})),
                ("labels", manifest.get("labels")),
                ("reports", [r.get("id", r) if isinstance(r, dict) else r for r in raw.get("reports") or ()]),
                ("digest", raw.get("digest")),
                ("made", when(raw.get("created_at"))),
            ]
        )
    ]
