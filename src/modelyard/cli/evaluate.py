"""`yard evaluate`."""

from typing import Annotated

import typer

from modelyard.cli.output import Json, show
from modelyard.cli.platform import client
from modelyard.cli.runs import faces, started
from modelyard.cli.waiting import NoWait, watching

ModelReference = Annotated[str, typer.Argument(metavar="MODEL[:VERSION|@ALIAS]")]
Data = Annotated[
    str | None, typer.Option(help="Another data set than the one it was trained with.", show_default=False)
]
Split = Annotated[str | None, typer.Option(help="train, validation or test (test).", show_default=False)]


def evaluate(
    model: ModelReference,
    data: Data = None,
    split: Split = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Evaluate a model's version on a data set's split."""
    with watching(as_json) as watcher:
        run = client().evaluate(model, data, split, wait=False)
        if not no_wait:
            run = run.wait(watch=watcher.watch)
    if no_wait:
        started(run, as_json)
    else:
        show(run.raw, as_json, *faces(run))
