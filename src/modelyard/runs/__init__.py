"""Runs: one file a kind of work, one line in KINDS, and the process that does it (`runs.process`).

To add a kind: write `runs/<name>.py` with `Params` (a frozen msgspec struct that forbids unknown fields) and
`run(context) -> RunOutcome`, and add its line. The module must import without a training framework, because
control loads it to check parameters before it queues a run.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import msgspec

from modelyard.errors import UnknownName
from modelyard.runs.context import RunContext
from modelyard.tasks.options import resolve
from modelyard.types.run import RunOutcome

__all__ = ["KINDS", "Kind", "RunContext", "load", "read_params"]

KINDS: Final[dict[str, str]] = {
    "prepare": "modelyard.runs.prepare",
    "train": "modelyard.runs.train",
    "finetune": "modelyard.runs.finetune",
    "evaluate": "modelyard.runs.evaluate",
    "script": "modelyard.runs.script",
    "import": "modelyard.runs.import_model",
    "batch": "modelyard.runs.batch",
}
"""Kind -> its module."""


class Kind(Protocol):
    """A kind's module."""

    Params: type[msgspec.Struct]

    def run(self, context: RunContext) -> RunOutcome:
        """Do the work, below `context.outputs`. Raises any ModelyardError, Cancelled among them."""
        ...


def load(kind: str) -> Kind:
    """The module of a kind. Raises UnknownName with the nearest."""
    if kind not in KINDS:
        raise UnknownName("run kind", kind, KINDS)
    return cast(Kind, importlib.import_module(KINDS[kind]))


def read_params(kind: str, params: Mapping[str, Any]) -> msgspec.Struct:
    """`params` as the kind's struct. Raises UnknownName for an unknown key, InvalidInput for a value."""
    return resolve(load(kind).Params, params, "params")
