"""What a run tells the script that it runs, and what the script says back."""

from typing import Any, Final

from msgspec import Struct

CONTEXT_VARIABLE: Final = "YARD_SCRIPT"
"""Environment variable: the path of a ScriptContext as JSON. Where it is set, code runs inside a run."""
EVENTS_VARIABLE: Final = "YARD_EVENTS_FD"
"""Environment variable: the number of an open descriptor that takes ScriptEvents, one JSON object a line."""

MODELS: Final = "models"
"""outputs/models/NAME/ is the package that a script logged as NAME."""
ARTIFACTS: Final = "artifacts"
"""outputs/artifacts/ holds the files that it logged, by their paths."""


class ScriptData(Struct, frozen=True, kw_only=True):
    """A data set version that the run was given. `reference` is as "digits:3"; `digest` hex sha256."""

    reference: str
    digest: str
    folder: str


class ScriptContext(Struct, frozen=True, kw_only=True):
    """
    run           the run's id
    params        what `yard run --param` said
    data          name -> data set version
    outputs       where models/NAME/ and artifacts/ are written
    checkpoints   a folder that is kept over attempts
    requirements  digest of the environment that the script runs in, or None for the platform's own
    """

    run: str
    params: dict[str, Any] = {}
    data: dict[str, ScriptData] = {}
    outputs: str
    checkpoints: str
    requirements: str | None = None


class ScriptEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    metrics  points of curves at `step`; None is what JSON has for a number that is not finite
    done     of `total`: how far the script is, with `text`
    model    the name of a package that stands whole at outputs/models/NAME
    summary  figures that lists show
    """

    metrics: dict[str, float | None] = {}
    step: int | None = None
    done: float | None = None
    total: float | None = None
    text: str = ""
    model: str | None = None
    summary: dict[str, Any] = {}
    time: float = 0.0
