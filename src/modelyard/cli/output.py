"""What commands print: tables for people, JSON for programs, errors on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelyard.errors import ModelyardError

if TYPE_CHECKING:
    from rich.console import Console

_WHOLE = 40  # a first cell up to this long is never cut

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def show(raw: Any, as_json: bool, *faces: Any) -> None:
    """`raw` as JSON, or its faces (text, or what rich can print)."""
    if as_json:
        print(json.dumps(raw, indent=2, ensure_ascii=False))
        return
    out = console()
    for face in faces:
        out.print(face, markup=False, highlight=False, soft_wrap=isinstance(face, str))


def say(text: str) -> None:
    """A remark that is no result: it goes to standard error."""
    console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> Any:
    """A table, or `empty` where there is no row. Where it is too wide, the first column stays whole: an id
    that is cut is of no use to the next command."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    cells = [[text(cell) for cell in row] for row in rows]
    face = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    face.columns[0].no_wrap = all(len(row[0]) <= _WHOLE for row in cells)
    for column in face.columns[1:]:
        column.overflow = "fold"  # where rich would cut a long word
    for row in cells:
        face.add_row(*(Text(cell) for cell in row))
    return face if cells else empty


def facts(pairs: Iterable[tuple[str, Any]]) -> Any:
    """Names and values, one a line; those without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    face = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value not in (None, "", {}, [], ()):
            face.add_row(Text(name, style="dim"), Text(text(value)))
    return face


def text(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(text(v) for v in value)
    return str(value)


_OWN_FIGURES = 5  # of those that a script has named


def figures(summary: dict[str, Any]) -> str:
    """What a run or a version is known by: "accuracy 0.9944 (0.9833 to 1) on test", "178 rows, 14 columns"."""
    if "metric" not in summary:
        counts = ((summary[k], k) for k in ("rows", "columns") if k in summary)
        counted = [f"{n:,} {name if n != 1 else name[:-1]}" for n, name in counts]
        own = [f"{k} {text(v)}" for k, v in summary.items() if isinstance(v, float) and k != "seconds"]
        return ", ".join([*counted, *own[:_OWN_FIGURES]])
    said = f"{summary['metric']} {text(summary.get('value'))}"
    if summary.get("low") is not None and summary.get("high") is not None:
        said += f" ({text(summary['low'])} to {text(summary['high'])})"
    return said + (f" on {summary['split']}" if summary.get("split") else "")


def print_error(error: ModelyardError, as_json: bool) -> None:
    """An error of ours, with the notes that it carries."""
    print_failure(error.code, error.message, as_json, hint="\n".join(getattr(error, "__notes__", ())) or None)


def print_failure(code: str, message: str, as_json: bool, hint: str | None = None) -> None:
    """A failure on standard error: {"error": {"code", "message", "hint"}}, or lines."""
    if as_json:
        said = {"code": code, "message": message} | ({"hint": hint} if hint else {})
        print(json.dumps({"error": said}, ensure_ascii=False), file=sys.stderr)
        return
    say(f"error: {message}")
    if hint:
        say(hint)


def console(stderr: bool = False) -> "Console":
    """A console on the stream as it is now; wide where it is no terminal, so that nothing is cut."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if terminal else 200)
