"""`yard import-mlflow`."""

import os
from dataclasses import asdict
from typing import Annotated

import typer

from modelyard.cli.output import Json, facts, say, show
from modelyard.cli.platform import client
from modelyard.client.mlflow_copy import Copy
from modelyard.client.mlflow_registry_copy import check_url, copy_registry
from modelyard.client.mlflow_wire import Wire


def import_mlflow(
    url: Annotated[str, typer.Argument(metavar="URL", help="The MLflow server, as http://mlflow:5000.")],
    experiment: Annotated[
        str | None, typer.Option(help="Copy this one alone, by its name.", show_default=False)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="The server's bearer token (MLFLOW_TRACKING_TOKEN).", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy an MLflow server here: experiments, runs, files, registered models. Again, it copies what is new."""
    check_url(url)
    settings = client().settings
    source = Wire(url, token or os.environ.get("MLFLOW_TRACKING_TOKEN"))
    target = Wire(settings.url, settings.api_key)
    copy = Copy(source, target, lambda text: None if as_json else say(text))
    try:
        copy.experiments(experiment)
        copy_registry(copy)
    finally:
        source.close()
        target.close()
    said = asdict(copy.copied)
    problems = said.pop("problems")
    faces = [facts([(name.replace("_", " "), count) for name, count in said.items()])]
    faces += [f"not copied: {problem}" for problem in problems]
    show(said | {"problems": problems}, as_json, *faces)
    if problems:
        raise typer.Exit(1)
