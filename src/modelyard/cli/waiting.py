"""A progress bar while a command waits, and what Ctrl-C means then: the run goes on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.output import console, say
from modelyard.client.runs import Run
from modelyard.errors import Cancelled, ModelyardError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

NoWait = Annotated[bool, typer.Option("--no-wait", help="Start the run and return at once.")]


class Watcher:
    """Shows an upload or a run, where there is a terminal to show it on; knows the run when Ctrl-C comes."""

    def __init__(self, bar: "Progress | None") -> None:
        self.run: Run | None = None
        self._bar = bar
        self._task: TaskID | None = None

    def watch(self, run: Run) -> None:
        """For `Runs.wait`."""
        self.run = run
        progress = run.progress
        said = str(progress.get("text") or "")
        metrics = "" if said else f"{run.kind} {run.state}"
        self.upload(progress.get("done") or 0, progress.get("total"), said or metrics)

    def upload(self, done: float, total: float | None, said: str) -> None:
        """For `client.upload`: also what a bar needs in general."""
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task(said, total=total)
        self._bar.update(self._task, completed=done, total=total, description=said)


@contextmanager
def watching(as_json: bool) -> Iterator[Watcher]:
    """Around anything that waits for a run."""
    bar = _bar() if sys.stdout.isatty() and not as_json else None
    watcher = Watcher(bar)
    try:
        with bar or nullcontext():
            yield watcher
    except KeyboardInterrupt:
        if watcher.run is None:
            raise
        run = watcher.run.id
        say(
            f"run {run} goes on; see it with: yard runs logs -f {run}; cancel it with: yard runs cancel {run}"
        )
        raise typer.Exit(130) from None
    except Cancelled as error:
        raise ModelyardError(error.message) from error


def _bar() -> "Progress":
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console(stderr=True), transient=True)
