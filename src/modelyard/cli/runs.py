"""`yard runs`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, facts, figures, show, table
from modelyard.cli.platform import client
from modelyard.cli.waiting import watching
from modelyard.client.record import when
from modelyard.client.runs import Run

app = typer.Typer(help="Runs: list, show, logs, artifacts, cancel, retry.", no_args_is_help=True)

_REASON = 60  # characters of a failure in the list of runs

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `yard runs list` shows it.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 20, as_json: Json = False) -> None:
    """List runs, the newest first."""
    found = client().runs.list(limit)
    rows = [(r.id, r.kind, r.state, when(r.raw.get("created_at")), _found(r)) for r in found]
    face = table(("run", "kind", "state", "queued", "figures or failure"), rows, "No run yet.")
    show([r.raw for r in found], as_json, face)


@app.command("show")
def show_(run: RunId, as_json: Json = False) -> None:
    """Show a run: its state, figures and last metrics."""
    found = client().runs.show(run)
    metrics = found.metrics()
    last = {name: points[-1][1] for name, points in metrics.items() if points}
    show(found.raw | {"metrics": metrics}, as_json, *faces(found, last))


@app.command()
def logs(run: RunId, follow: Follow = False, as_json: Json = False) -> None:
    """Print what a run has printed."""
    if as_json:
        show({"run": run, "log": "".join(client().runs.follow(run, until_end=follow))}, True)
        return
    for part in client().runs.follow(run, until_end=follow):
        sys.stdout.write(part)
        sys.stdout.flush()


@app.command()
def artifacts(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Save them below this folder.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the files that a run logged, or save them."""
    runs = client().runs
    found = runs.artifacts(run)
    rows = [(f["path"], f["size"]) for f in found]
    faces: list[Any] = [table(("artifact", "bytes"), rows, "The run logged no file.")]
    if out is not None:
        with watching(as_json) as watcher:
            saved = runs.save_artifacts(run, out, watcher.upload)
        faces.append(f"{len(saved)} saved in {out}.")
    show(found, as_json, *faces)


@app.command()
def cancel(run: RunId, as_json: Json = False) -> None:
    """Ask a run to stop."""
    found = client().runs.cancel(run)
    text = f"Run {run} is being cancelled." if not found.ended else f"Run {run} has ended: {found.state}."
    show(found.raw, as_json, text)


@app.command()
def retry(run: RunId, as_json: Json = False) -> None:
    """Run the same work again, on the same data."""
    started(client().runs.retry(run), as_json)


def faces(run: Run, metrics: dict[str, Any] | None = None) -> list[Any]:
    """A run for people."""
    progress = run.progress
    done = f"{progress.get('done')} of {progress.get('total')}" if progress.get("total") else None
    return [
        facts(
            [
                ("run", run.id),
                ("kind", run.kind),
                ("state", run.state),
                ("attempt", run.raw.get("attempt")),
                ("progress", None if run.ended else done),
                ("queued", when(run.raw.get("created_at"))),
                ("figures", figures(run.summary)),
                ("net", run.summary.get("net")),
                ("fit", run.summary.get("fit")),
                ("seconds", run.summary.get("seconds")),
                ("metrics", metrics),
                ("made", {kind: _named(made) for kind, made in run.outputs.items()}),
                ("error", (run.error or {}).get("message")),
            ]
        )
    ]


def started(run: Run, as_json: bool) -> None:
    """Say that a run was started and is not waited for."""
    show(run.raw, as_json, f"Run {run.id} is {run.state}. Follow it with: yard runs logs -f {run.id}")


def _found(run: Run) -> str:
    """Its figures, or the beginning of why it failed."""
    said = str((run.error or {}).get("message") or "")
    return figures(run.summary) or (said if len(said) <= _REASON else f"{said[:_REASON]}...")


def _named(made: Any) -> Any:
    if isinstance(made, list):
        return [_named(one) for one in made]
    if isinstance(made, dict) and "name" in made and "version" in made:
        return f"{made['name']}:{made['version']}"
    return made.get("id", made) if isinstance(made, dict) else made
