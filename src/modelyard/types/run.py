"""The run: one execution of work, in a folder and a process of its own.

A run's folder is all that it needs to see:

    spec.json      RunSpec, written by control before the process starts
    inputs/NAME/   a data set version or a package (hard links), read only
    checkpoints/   kept over attempts
    attempt-N/     outputs/ (what it made), log.txt, outcome.json (RunOutcome, written atomically as the last act)

While it works it posts RunEvents to control with a token that is good for this attempt alone; the answer says
whether to stop. Control adopts the outputs when the process has ended and the attempt still holds the lease.
"""

from typing import Any, Literal, Protocol

from msgspec import Struct

RunKind = str  # a key of modelyard.runs.KINDS
RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
END_STATES = ("succeeded", "failed", "cancelled")
SCRIPT = "script"  # the kind of a run of a user's own program
BATCH = "batch"  # the kind of a run that sends a batch's requests to the gateway
EXTERNAL = "external"  # the kind of a run that a client drives itself: it has no process of ours


class RunSpec(Struct, frozen=True, kw_only=True):
    """What a run's process is told. `params` is the kind's own struct as JSON; `inputs` maps a name to the digest
    of the version that stands at inputs/NAME/."""

    id: str
    attempt: int
    kind: RunKind
    tenant: str
    params: dict[str, Any]
    inputs: dict[str, str] = {}
    environments: str = ""  # the folder of environments that requirements make (modelyard.environments)
    allow_unsandboxed: bool = False  # whether code may run where there is no sandbox
    control_url: str | None = None  # None: run by hand; events go to standard output alone
    token: str = ""
    gateway_url: str = ""  # of a batch's run
    gateway_key: str = ""  # good for this attempt alone


class RunEvent(Struct, frozen=True, kw_only=True):
    """A message from a run. `metrics` are points at `step` (an epoch, from 1); progress is `done` of `total`."""

    metrics: dict[str, float] = {}
    step: int | None = None
    done: float | None = None
    total: float | None = None
    text: str = ""
    time: float  # seconds since the epoch


class RunEvents(Struct, frozen=True, kw_only=True):
    """The body of POST /internal/runs/{id}/events; an empty list is a heartbeat."""

    attempt: int
    events: tuple[RunEvent, ...] = ()


class RunReply(Struct, frozen=True, kw_only=True):
    """Control's answer to RunEvents. 410 instead means that the lease is lost: stop without publishing."""

    cancel: bool = False


class RunOutcome(Struct, frozen=True, kw_only=True):
    """`outcome.json`. `outputs` names what outputs/ holds: "dataset", "package", "report", "artifacts" are known to
    control. `models` are packages that the run itself has named: model -> folder below outputs/. `error` is
    {"code", "message"}; `summary` holds the figures that lists show."""

    state: Literal["succeeded", "failed", "cancelled"]
    outputs: dict[str, str] = {}  # kind -> folder below outputs/
    models: dict[str, str] = {}
    summary: dict[str, Any] = {}
    error: dict[str, Any] | None = None


class Reporter(Protocol):
    """What work that takes long tells its run. Calls are cheap: events are sent in the background."""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Points of curves at `step` (an epoch, from 1)."""

    def progress(self, done: float, total: float, text: str = "") -> None:
        """How far the work is."""

    def check(self) -> None:
        """Raise errors.Cancelled when the owner has cancelled the run or its lease is lost."""
