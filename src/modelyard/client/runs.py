"""Runs: see them, follow them, wait for them, cancel them."""

import builtins
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.client.artifacts import Progress, save, walk
from modelyard.client.record import Record
from modelyard.client.transport import Request, at, error_of
from modelyard.errors import DeadlineExceeded, ModelyardError, from_dict
from modelyard.types.run import END_STATES

if TYPE_CHECKING:
    from modelyard.client.client import Client

_FIRST_LOOK, _LONGEST_LOOK = 0.1, 1.0  # seconds between two looks at a run that is waited for


class Run(Record):
    """One execution of work."""

    shown: ClassVar[tuple[str, ...]] = ("id", "kind", "state", "summary", "error")

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def kind(self) -> str:
        return str(self.raw["kind"])

    @property
    def state(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        return str(self.raw["state"])

    @property
    def ended(self) -> bool:
        return self.state in END_STATES

    @property
    def summary(self) -> dict[str, Any]:
        """The figures that lists show."""
        return dict(self.raw.get("summary") or {})

    @property
    def outputs(self) -> dict[str, Any]:
        """What it published, by kind: a data set version, a model version, a report."""
        return dict(self.raw.get("outputs") or {})

    @property
    def progress(self) -> dict[str, Any]:
        """{"done", "total", "text"}, where the run has said how far it is."""
        return dict(self.raw.get("progress") or {})

    @property
    def error(self) -> dict[str, Any] | None:
        """{"code", "message"} of a run that failed."""
        return self.raw.get("error")

    def refresh(self) -> "Run":
        """The run as it is now."""
        return self._client.runs.show(self.id)

    def wait(self, timeout: float | None = None, watch: "Watch | None" = None) -> "Run":
        """See `Runs.wait`."""
        return self._client.runs.wait(self.id, timeout=timeout, watch=watch)

    def cancel(self) -> "Run":
        return self._client.runs.cancel(self.id)

    def retry(self) -> "Run":
        return self._client.runs.retry(self.id)

    def logs(self) -> str:
        return self._client.runs.logs(self.id)

    def metrics(self) -> dict[str, list[list[float]]]:
        return self._client.runs.metrics(self.id)


Watch = Callable[[Run], None]
"""Called with the run at each look while it is waited for."""


class Runs:
    """`client.runs`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(self, limit: int = 50) -> list[Run]:
        """The newest first."""
        return [Run(r, self._client) for r in self._client.transport.pages("/api/v1/runs", limit)]

    def show(self, run: str) -> Run:
        return Run(self._client.transport.get(at("runs", run)), self._client)

    def start(self, kind: str, params: dict[str, Any]) -> Run:
        """Queue a run of any kind."""
        return Run(
            self._client.transport.post("/api/v1/runs", {"kind": kind, "params": params}), self._client
        )

    def cancel(self, run: str) -> Run:
        """Ask it to stop; it ends when it has come to a checkpoint."""
        return Run(self._client.transport.post(at("runs", run, "cancel")), self._client)

    def retry(self, run: str) -> Run:
        """Queue the same work again, on the same versions; the new run."""
        return Run(self._client.transport.post(at("runs", run, "retry")), self._client)

    def metrics(self, run: str) -> dict[str, "builtins.list[builtins.list[float]]"]:
        """Metric -> its points [step, value]."""
        answer = self._client.transport.get(at("runs", run, "metrics"))
        return dict(answer["metrics"])

    def artifacts(self, run: str) -> "builtins.list[dict[str, Any]]":
        """Every file that it logged: [{"path", "is_dir", "size"}]."""
        return list(walk(self._client.transport, run))

    def save_artifacts(
        self, run: str, out: Path, progress: Progress = lambda *_: None
    ) -> "builtins.list[Path]":
        """Write all of them below `out`; where they are now."""
        return save(self._client.transport, run, out, progress)

    def logs(self, run: str) -> str:
        """What it has printed until now."""
        return "".join(self.follow(run, until_end=False))

    def follow(self, run: str, until_end: bool = True) -> Iterator[str]:
        """What it prints, as it comes, until the run has ended."""
        offset, pause = 0, _FIRST_LOOK
        while True:
            ended = not until_end or self.show(run).ended  # before what is left is read
            while part := self._log(run, offset):
                offset += len(part)
                pause = _FIRST_LOOK
                yield part.decode(errors="replace")
            if ended:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)

    def wait(self, run: str, timeout: float | None = None, watch: Watch | None = None) -> Run:
        """The run when it has succeeded.

        Raises the error that a failed or cancelled run says, and DeadlineExceeded after `timeout` seconds
        (the run goes on).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_LOOK
        while True:
            now = self.show(run)
            if watch:
                watch(now)
            if now.ended:
                return _succeeded(now)
            if deadline is not None and time.monotonic() + pause > deadline:
                raise DeadlineExceeded(f"run {run} has not ended within {timeout:g} s; it goes on")
            time.sleep(pause)
            pause = min(pause * 1.3, _LONGEST_LOOK)

    def _log(self, run: str, offset: int) -> bytes:
        request = Request(method="GET", path=at("runs", run, "log"), query={"offset": str(offset)})
        response = self._client.transport.raw(request)
        if response.status_code >= 400:
            raise error_of(response)
        return response.content


def _succeeded(run: Run) -> Run:
    if run.state == "succeeded":
        return run
    said = run.error or {"code": "cancelled" if run.state == "cancelled" else "internal"}
    error: ModelyardError = from_dict({"message": f"run {run.id} was {run.state}"} | said)
    error.add_note(f"run {run.id}: see yard runs logs {run.id}")
    raise error
