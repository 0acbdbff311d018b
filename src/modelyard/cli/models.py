"""`yard models`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, facts, figures, show, table
from modelyard.cli.pairs import pairs
from modelyard.cli.platform import client
from modelyard.cli.report import report_faces
from modelyard.cli.runs import started
from modelyard.cli.waiting import NoWait, watching
from modelyard.client.imports import ImportOptions
from modelyard.client.models import Model, split_reference
from modelyard.client.record import when
from modelyard.client.runs import Run
from modelyard.errors import InvalidInput

app = typer.Typer(
    help="Models: list, show, report, alias, delete, import, export, card.", no_args_is_help=True
)
Reference = Annotated[str, typer.Argument(metavar="MODEL[:VERSION|@ALIAS]")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A file or folder: ONNX, .keras, SavedModel, safetensors, GGUF, skops, .pt2, OpenVINO, a zip or "
        "tar.gz of one, a bundle of yard models export; or hf:ORG/NAME[@REVISION].",
    ),
]


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


@app.command("import")
def import_(
    source: Source,
    name: Annotated[
        str | None, typer.Option(help="The model that gets a version.", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="What it is for.", show_default=False)] = None,
    format: Annotated[
        str | None, typer.Option(help="Its format, where there are several.", show_default=False)
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Its classes, in order.", show_default=False)
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Images: pixels 0..255 are divided by it.", show_default=False)
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,...", help="Images: subtracted from pixels.", show_default=False)
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="S,...", help="Images: pixels are divided by.", show_default=False)
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Images: NHWC, NCHW, NHW, flat.", show_default=False)
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Tables: the features, in order.", show_default=False),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(help="probabilities, logits, probability, logit, label, value.", show_default=False),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Language models: llama_cpp, openvino, transformers, vllm; the fastest here otherwise.",
            show_default=False,
        ),
    ] = None,
    launch: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of vllm, as tensor_parallel=8.", show_default=False),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="As apache-2.0.", show_default=False)] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Make a version of a model that was made elsewhere; its files are inspected
    first."""
    options = ImportOptions(
        task=task,
        labels=_list(labels),
        scale=scale,
        mean=_numbers(mean, "--mean"),
        std=_numbers(std, "--std"),
        layout=layout,
        columns=_list(columns),
        answers=answers,
        engine=engine,
        launch=pairs(launch, "--launch") if launch else None,
        licence=licence,
    )
    with watching(as_json) as watcher:
        run = client().models.import_(
            source, name, format=format, options=options, wait=False, progress=watcher.upload
        )
        if not no_wait:
            run = run.wait(watch=watcher.watch)
    if no_wait:
        started(run, as_json)
    else:
        show(run.raw, as_json, *_imported(run))


@app.command()
def export(
    model: Reference,
    out: Annotated[
        Path | None, typer.Option(help="Where the bundle goes (MODEL-VERSION.yard.zip).", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Save a version with its reports, card and history as one file for another platform."""
    with watching(as_json) as watcher:
        path = client().models.export(model, out, watcher.upload)
    said = {"bundle": str(path), "bytes": path.stat().st_size}
    show(said, as_json, facts([("bundle", path), ("bytes", f"{path.stat().st_size:,}")]),
         f"On another platform: yard models import {path}")  # fmt: skip


@app.command()
def card(
    model: Reference,
    out: Annotated[Path | None, typer.Option(help="Where the card goes.", show_default=False)] = None,
    edit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep this file as the card.", show_default=False)
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the card that is made.")] = False,
    as_json: Json = False,
) -> None:
    """Print a version's model card, or keep one of your own."""
    models = client().models
    if edit is not None and reset:
        raise typer.BadParameter("give --edit or --reset")
    if edit is not None and not edit.is_file():
        raise InvalidInput("there is no such file", came=str(edit))
    if edit is not None or reset:
        text = models.put_card(model, edit.read_text("utf-8", "replace") if edit is not None else None)
    else:
        text = models.card(model)
    if out is not None:
        out.write_text(text)
    show({"card": text}, as_json, f"The card is in {out}." if out is not None else text)


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} is a list of numbers") from None


def _imported(run: Run) -> list[Any]:
    made, said = run.outputs.get("model") or {}, run.summary
    version = f"{made.get('name')}:{made.get('version')}"
    face = facts(
        [
            ("model", version),
            ("format", said.get("format")),
            ("served as", said.get("served_as")),
            ("task", said.get("task")),
            ("licence", said.get("licence")),
            ("digest", made.get("digest")),
        ]
    )
    following = f"Next: yard deploy {made.get('name')} {version}"
    last = f"It is stored and cannot be deployed: {said['refusal']}" if "refusal" in said else following
    return [face, *(f"note: {note}" for note in said.get("why") or ()), last]


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
                ("made by", net.get("framework")),
                ("served as", ", ".join(manifest.get("formats") or {})),
                ("not deployable", manifest.get("refusal")),
                ("figures", figures(raw.get("summary") or {})),
                ("labels", manifest.get("labels")),
                ("reports", [r.get("id", r) if isinstance(r, dict) else r for r in raw.get("reports") or ()]),
                ("digest", raw.get("digest")),
                ("made", when(raw.get("created_at"))),
                ("came from", _came_from(raw.get("history") or {})),
            ]
        ),
        *(f"note: {note}" for note in manifest.get("notes") or ()),
    ]


def _came_from(history: dict[str, Any]) -> str:
    """What a bundle said: the run and the data of another platform."""
    run, data = history.get("run") or {}, history.get("dataset") or {}
    parts = [f"{run.get('kind')} {run.get('id')}" if run else "", f"data {data.get('name')}" if data else ""]
    return ", ".join(part for part in parts if part)
