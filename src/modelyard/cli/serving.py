"""The options of how a deployment serves, and how what is set is printed."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

_PANEL: Final = "How it serves"


def _option(text: str, *names: str, least: float | None = None) -> Any:
    return typer.Option(*names, min=least, help=text, show_default=False, rich_help_panel=_PANEL)


Slots = Annotated[
    int | None, _option("Sequences that an engine generates at a time (its own choice).", least=1)
]
Context = Annotated[
    int | None, _option("Most tokens of a sequence, prompt and answer (the engine's choice).", least=16)
]
Threads = Annotated[
    int | None, _option("Compute threads of a replica (the engine's choice; 1 of small models).", least=1)
]
Cache = Annotated[
    float | None, _option("Seconds that an answer which would be the same again is kept.", least=0)
]
Fallback = Annotated[
    str | None, typer.Option(help="A deployment that is asked where this one cannot answer.", show_default=False,
                             metavar="NAME", rich_help_panel=_PANEL)
]  # fmt: skip
FirstToken = Annotated[
    float | None, _option("Seconds; a request whose first token would come later is refused.", least=0.001)
]
Sleep = Annotated[
    float | None,
    _option("Idle for so many seconds, its replicas end; the next request starts them again.", least=1),
]
Pinned = Annotated[
    bool | None, _option("Never end its replicas to make room for another model's.", "--pinned/--no-pinned")
]
Shared = Annotated[bool | None, _option("Let the callers of all tenants call it.", "--shared/--no-shared")]
RequestTimeout = Annotated[
    float | None, _option("Seconds that a request may take (30; 600 of models that generate).", least=0.001)
]


def told(**settings: Any) -> dict[str, Any]:
    """What was given, by the names of the API."""
    return {name: value for name, value in settings.items() if value is not None}


def face(serving: Mapping[str, Any]) -> str:
    """As "slots 4, sleep 600 s, pinned"."""
    return ", ".join(_said(name, value) for name, value in serving.items() if value is not False)


def _said(name: str, value: Any) -> str:
    if value is True:
        return name
    return f"{name} {value:g} s" if isinstance(value, float) else f"{name} {value}"
