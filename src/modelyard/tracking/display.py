"""Faces for notebooks: small tables, everything escaped."""

from html import escape
from typing import TYPE_CHECKING, Any

from modelyard.types.dataset import DatasetManifest

if TYPE_CHECKING:
    from modelyard.tracking.backend import LoggedModel


def table_html(title: str, rows: list[tuple[str, Any]]) -> str:
    """Facts under a title."""
    left = "style='text-align:left'"
    cells = "".join(
        f"<tr><th {left}>{escape(str(name))}</th><td {left}>{escape(str(value))}</td></tr>"
        for name, value in rows
        if value not in (None, "", (), {}, [])
    )
    return f"<div><b>{escape(title)}</b><table>{cells}</table></div>"


def dataset_html(reference: str, manifest: DatasetManifest) -> str:
    columns = ", ".join(f"{c.name} ({c.kind})" for c in manifest.schema.columns)
    rows = ", ".join(f"{split} {count}" for split, count in manifest.split_rows.items())
    facts = [
        ("rows", rows),
        ("columns", columns),
        ("label", manifest.schema.label),
        ("classes", len(manifest.class_names)),
    ]
    return table_html(f"data set {reference}", facts)


def model_html(model: "LoggedModel") -> str:
    facts = [
        ("task", model.task),
        ("version", model.version),
        ("served as", model.format),
        ("digest", model.digest[:12]),
        ("notes", "; ".join(model.notes)),
    ]
    return table_html(f"model {model.name}", facts)
