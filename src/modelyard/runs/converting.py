"""`python -m modelyard.runs.converting SPEC.json`: one conversion, in the sandbox that `runs.import_model` starts.

A brought model may be anything that its inspection let through: frameworks that open it do so here, where they
see the model, a folder for what they make, and no network. What it says goes to the run's log; result.json says
how it ended.
"""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelyard.conversion.contract import Context, Options
from modelyard.errors import InvalidInput, MissingExtra, ModelyardError, UnknownName
from modelyard.types.package import Lineage

RESULT_NAME: Final = "result.json"
PACKAGE_NAME: Final = "package"


class Spec(Struct, frozen=True, kw_only=True):
    """`guess` is a task to try where the owner named none; `out` a folder that may be written."""

    path: str
    format: str
    out: str
    options: Options
    guess: str | None = None
    lineage: Lineage = Lineage()


class Result(Struct, frozen=True, kw_only=True):
    """`error` is {"code", "message"}, or None."""

    format: str = ""
    notes: tuple[str, ...] = ()
    error: dict[str, str] | None = None


def main(argv: list[str]) -> int:
    spec = msgspec.json.decode(Path(argv[0]).read_bytes(), type=Spec)
    try:
        result = convert(spec)
    except ModelyardError as error:
        result = Result(error=error.to_dict())
    except ImportError as error:
        result = Result(error=_missing(str(error.name or "a library"), spec.format).to_dict())
    except MemoryError:
        result = Result(
            error={"code": "out_of_memory", "message": "the conversion needed more memory than it may use"}
        )
    (Path(spec.out) / RESULT_NAME).write_bytes(msgspec.json.encode(result))
    return 0 if result.error is None else 1


def _missing(name: str, format: str) -> ModelyardError:
    if name.startswith("modelyard."):
        return InvalidInput("nothing here converts this format", came=format)
    return MissingExtra(name, "train")


def convert(spec: Spec) -> Result:
    """The package at out/package. Raises what `conversion.package_file` does."""
    if spec.options.task is None and spec.guess is not None:
        try:
            return _convert(spec, msgspec.structs.replace(spec.options, task=spec.guess))
        except (InvalidInput, UnknownName) as error:
            why = f"it looks like {spec.guess}, and more has to be said for that: {error.message}"
            _say(why)
            made = _convert(spec, spec.options)
            return msgspec.structs.replace(made, notes=(why, *made.notes))
    return _convert(spec, spec.options)


def _convert(spec: Spec, options: Options) -> Result:
    from modelyard import conversion

    made: Any = conversion.package_file(
        Path(spec.path),
        spec.format,
        Path(spec.out) / PACKAGE_NAME,
        options,
        context=Context(lineage=spec.lineage, say=_say, keep=False),
    )
    return Result(format=made.format, notes=tuple(made.notes))


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
