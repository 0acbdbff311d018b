"""`yard predict`."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, say, show, table, text
from modelyard.cli.pairs import pairs
from modelyard.cli.platform import client
from modelyard.client.recipe import value_of
from modelyard.errors import InvalidInput

Input = Annotated[
    str, typer.Argument(help="An image, JSON, JSON lines or CSV file; JSON text; - is standard input.")
]
Parameter = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=VALUE",
        show_default=False,
        help="A parameter of the task, as top_k=3",
    ),
]


def predict(
    name: str,
    input: Input,
    parameter: Parameter = None,
    as_text: Annotated[bool, typer.Option("--text", help="INPUT is itself the text to ask with.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file that an answer of bytes (an image) is written to.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a deployment."""
    parameters = {k: value_of(v) for k, v in pairs(parameter or [], "--parameter").items()}
    answer = client().predict(name, input if as_text else read_input(input), **parameters)
    if isinstance(answer, bytes):
        _write(answer, out)
        return
    show(answer, as_json, _face(answer))


def _write(answer: bytes, out: Path | None) -> None:
    if out is None and sys.stdout.isatty():
        raise InvalidInput(
            "the answer is a file", came=f"{len(answer):,} bytes", allowed="--out FILE, or a pipe"
        )
    if out is None:
        sys.stdout.buffer.write(answer)
        return
    out.write_bytes(answer)
    say(f"{out}: {len(answer):,} bytes")


def read_input(given: str) -> Any:
    """What `Client.predict` takes: bytes of an image, or a JSON value; a CSV file becomes its rows.

    Raises InvalidInput for what is neither a file nor JSON.
    """
    if given == "-":
        return _guessed(sys.stdin.buffer.read())
    path = Path(given)
    if given.lstrip().startswith(("{", "[")):
        return _json(given)
    if not path.is_file():
        allowed = "a file, JSON text, or -; with --text, a text itself"
        raise InvalidInput("this is neither a file nor JSON", came=given, allowed=allowed)
    readers: dict[str, Callable[[Path], Any]] = {".json": _json_file, ".jsonl": _lines, ".csv": _rows}
    return readers.get(path.suffix.lower(), Path.read_bytes)(path)


def _guessed(data: bytes) -> Any:
    if not data:
        raise InvalidInput("standard input is empty")
    return _json(data.decode(errors="replace")) if data.lstrip()[:1] in (b"{", b"[") else data


def _json(said: str) -> Any:
    try:
        value = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no JSON: {error}", came=said) from error
    inner = value.get("inputs", value) if isinstance(value, dict) else value
    return inner.get("data", inner) if isinstance(inner, dict) and set(inner) == {"data"} else inner


def _json_file(path: Path) -> Any:
    return _json(path.read_text())


def _lines(path: Path) -> list[Any]:
    return [_json(line) for line in path.read_text().splitlines() if line.strip()]


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as f:
        rows = [{k: _cell(v) for k, v in row.items()} for row in csv.DictReader(f, strict=True)]
    if not rows:
        raise InvalidInput("the file has no row", came=path.name)
    return rows


def _cell(said: str | None) -> Any:
    """A CSV cell: nothing is a missing value, what reads as a number is one."""
    if said is None or not said.strip():
        return None
    try:
        return json.loads(said) if said.strip()[0] in "-0123456789" else said
    except ValueError:
        return said


def _face(answer: Any) -> Any:
    """A table of one row's answers, or of the first answer of each row."""
    if not isinstance(answer, list) or not answer:
        return text(answer)
    if all(isinstance(row, list) and row and isinstance(row[0], dict) for row in answer):
        columns = list(answer[0][0])
        return table(["row", *columns], [[i, *(r[0][c] for c in columns)] for i, r in enumerate(answer)], "")
    if all(isinstance(a, dict) for a in answer):
        columns = list(answer[0])
        return table(columns, [[a.get(c) for c in columns] for a in answer], "")
    return "\n".join(text(a) for a in answer)
