"""`yard data`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, facts, show, table
from modelyard.cli.pairs import numbers, pairs
from modelyard.cli.platform import client
from modelyard.cli.runs import started
from modelyard.cli.waiting import NoWait, watching
from modelyard.client.data import DataOptions, Dataset
from modelyard.client.record import when
from modelyard.client.runs import Run

app = typer.Typer(help="Data sets: add, list, show, profile, sample, delete.", no_args_is_help=True)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        show_default=False,
        help="CSV, Parquet, JSON lines, npz, idx; a folder or zip of images. None: a built-in one "
        "(breast-cancer, diabetes, digits, fashion-mnist, iris, wine).",
    ),
]
Label = Annotated[str | None, typer.Option(help="The column to predict.", show_default=False)]
SplitColumn = Annotated[
    str | None, typer.Option(help="A column that names each row's split.", show_default=False)
]
OrderBy = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        show_default=False,
        help="A column of times or of order: the first rows train, the last ones test; none are drawn.",
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=KIND",
        show_default=False,
        help="A column's kind, where it is read otherwise: number, category, ...",
    ),
]
Format = Annotated[
    str | None, typer.Option(help="The files' format, where it is taken for another.", show_default=False)
]
Fractions = Annotated[
    str | None,
    typer.Option(metavar="SPLIT=SHARE,...", show_default=False, help="As train=0.8,validation=0.1,test=0.1"),
]
Seed = Annotated[int | None, typer.Option(help="Of the random split.", show_default=False)]
Stratify = Annotated[
    bool | None,
    typer.Option(
        "--stratify/--no-stratify", show_default=False, help="Keep the classes in proportion over the splits."
    ),
]
Drop = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out.", show_default=False)
]


@app.command()
def add(
    name: str,
    path: Paths = None,
    label: Label = None,
    split_column: SplitColumn = None,
    order_by: OrderBy = None,
    column: Column = None,
    format: Format = None,
    fractions: Fractions = None,
    seed: Seed = None,
    stratify: Stratify = None,
    drop: Drop = None,
    builtin: Annotated[
        str | None, typer.Option(help="A built-in data set by another name.", show_default=False)
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Make a version of NAME from files or folders, or from a built-in data set."""
    options = DataOptions(
        label=label,
        split_column=split_column,
        order_by=order_by,
        columns=pairs(column or [], "--column") or None,
        format=format,
        fractions=numbers(fractions.split(",") if fractions else [], "--fractions") or None,
        seed=seed,
        stratify=stratify,
        drop=tuple(drop) if drop else None,
    )
    with watching(as_json) as watcher:
        made = client().data.add(
            name,
            list(path) if path else None,
            builtin=builtin,
            options=options,
            wait=not no_wait,
            progress=watcher.upload,
            watch=watcher.watch,
        )
    if isinstance(made, Run):
        started(made, as_json)
    else:
        show(
            made.raw, as_json, *_faces(made), f"Next: yard data profile {name}, then yard train --data {name}"
        )


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: Json = False) -> None:
    """List data sets."""
    found = client().data.list(limit)
    rows = [(d.name, d.version, d.rows, when(d.raw.get("created_at"))) for d in found]
    face = table(
        ("name", "version", "rows", "made"), rows, "No data set yet. Add one, as with: yard data add digits"
    )
    show([d.raw for d in found], as_json, face)


@app.command("show")
def show_(name: Annotated[str, typer.Argument(help="NAME or NAME:VERSION.")], as_json: Json = False) -> None:
    """Show a data set's versions, or one version's schema and profile."""
    base, _, version = name.partition(":")
    if version:
        raw = client().data.version(base, version) | {"name": base}
        raw["profile"] = client().data.profile(base, version)
        show(raw, as_json, *_version_faces(raw))
    else:
        found = client().data.show(base)
        show(found.raw, as_json, *_faces(found))


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="NAME or NAME:VERSION.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the page with the pictures goes (HTML).", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what was found in a version: missing values, ranges, classes, rows that stand twice."""
    data = client().data
    if out is not None:
        out.write_bytes(data.profile_file(name, "profile.html"))
    last = f"The page is in {out}." if out else f"With pictures: yard data profile {name} --out profile.html"
    base, _, version = name.partition(":")
    found = data.profile(base, version or "latest") if as_json else None
    show(found, as_json, "" if as_json else data.profile_file(name).decode(), last)


@app.command()
def delete(reference: Annotated[str, typer.Argument(metavar="NAME:VERSION")], as_json: Json = False) -> None:
    """Delete a version. One that a run works on is kept."""
    client().data.delete(reference)
    show({"deleted": reference}, as_json, f"{reference} is deleted.")


@app.command()
def sample(
    name: Annotated[str, typer.Argument(help="NAME or NAME:VERSION.")],
    row: Annotated[int, typer.Option(min=0, help="Which row of the split, from 0.")] = 0,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    out: Annotated[
        Path | None, typer.Option(help="Where an image goes, or a table's row as JSON.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Take one row of a data set, to ask a deployment with."""
    found = client().data.sample(name, row, split)
    files = {k: v for k, v in found.features.items() if isinstance(v, bytes)}
    if out is not None:
        content = next(iter(files.values())) if files else json.dumps(found.features).encode()
        out.write_bytes(content)
    shown = {k: f"{len(v)} bytes" if isinstance(v, bytes) else v for k, v in found.features.items()}
    said = [("written", out), ("true value", found.label)]
    show(found.raw, as_json, facts([*shown.items(), *said] if out is None else said))


def _faces(found: Dataset) -> list[Any]:
    rows = [
        (v["version"], v.get("rows"), v.get("digest", "")[:12], when(v.get("created_at")))
        for v in found.versions
    ]
    label = found.label or "none; name it with yard data add --label, or yard train --target"
    splits = _splits(found.versions[0].get("split_rows")) if found.versions else None
    head = facts(
        [
            ("data set", found.name),
            ("rows", found.rows),
            ("splits", splits),
            ("label", label if splits else None),
        ]
    )
    return [head, table(("version", "rows", "digest", "made"), rows, "No version yet.")]


def _version_faces(raw: dict[str, Any]) -> list[Any]:
    schema = (raw.get("manifest") or raw).get("schema") or {}
    split_rows = (raw.get("manifest") or raw).get("split_rows")
    profile = raw.get("profile") or {}
    found = {c["name"]: c for c in profile.get("columns", ())}
    rows = [_column_row(c, found.get(c["name"], {}), schema.get("label")) for c in schema.get("columns", ())]
    head = facts(
        [
            ("data set", f"{raw.get('name', '')}:{raw.get('version', '')}"),
            ("rows", raw.get("rows")),
            ("splits", _splits(split_rows)),
            ("digest", raw.get("digest")),
        ]
    )
    columns = ("column", "kind", "", "missing", "distinct", "minimum", "mean", "maximum")
    return [head, table(columns, rows, ""), *(f"note: {w}" for w in profile.get("warnings", ()))]


def _splits(rows: dict[str, int] | None) -> dict[str, int]:
    """In the order in which they are used."""
    return {name: rows[name] for name in ("train", "validation", "test") if name in rows} if rows else {}


def _column_row(column: dict[str, Any], found: dict[str, Any], label: str | None) -> tuple[Any, ...]:
    mark = "label" if column["name"] == label else ""
    figures = (found.get(k) for k in ("missing", "distinct", "minimum", "mean", "maximum"))
    return (column["name"], column["kind"], mark, *figures)
