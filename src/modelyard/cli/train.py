"""`yard train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.output import Json, show
from modelyard.cli.pairs import pairs
from modelyard.cli.platform import client
from modelyard.cli.runs import faces, started
from modelyard.cli.waiting import NoWait, watching
from modelyard.client.recipe import value_of
from modelyard.errors import InvalidInput

RecipePath = Annotated[Path | None, typer.Argument(metavar="[RECIPE.yaml]", show_default=False)]
Key = Annotated[str | None, typer.Option(show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", show_default=False, help="Any key of the recipe, as training.epochs=5"
    ),
]


def train(
    recipe: RecipePath = None,
    task: Key = None,
    data: Key = None,
    net: Key = None,
    name: Key = None,
    target: Key = None,
    set_: Set = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Train a model by a recipe, or by --task, --data, --net and --name; both may be given."""
    keys: dict[str, Any] = {"task": task, "data": data, "net": net, "name": name, "target": target}
    keys = {k: v for k, v in keys.items() if v is not None}
    keys |= {k: value_of(v) for k, v in pairs(set_ or [], "--set").items()}
    if recipe is None and not keys:
        raise InvalidInput("nothing to train", allowed="a recipe's file, or --task, --data, --net and --name")
    with watching(as_json) as watcher:
        run = client().train(recipe, wait=False, **keys)
        if not no_wait:
            run = run.wait(watch=watcher.watch)
    if no_wait:
        started(run, as_json)
    else:
        show(run.raw, as_json, *faces(run))
