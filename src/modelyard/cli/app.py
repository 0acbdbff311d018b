"""The commands put together, and the one place where an error becomes a message and an exit status."""

import os
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from modelyard.cli import (
    data,
    deployments,
    doctor,
    down,
    environments,
    evaluate,
    import_mlflow,
    keys,
    models,
    plan,
    predict,
    runs,
    script,
    status,
    tenants,
    train,
    up,
    usage,
)
from modelyard.cli.output import print_error, print_failure
from modelyard.errors import ModelyardError
from modelyard.version import __version__

app = typer.Typer(
    name="yard",
    help="Modelyard: data, training, evaluation and serving of models, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
for command in (up.up, down.down, status.status, doctor.doctor, train.train, script.run, evaluate.evaluate,
                deployments.deploy, predict.predict, plan.plan, usage.usage,
                import_mlflow.import_mlflow):  # fmt: skip
    app.command()(command)
for name, group in (("data", data.app), ("runs", runs.app), ("models", models.app),
                    ("deployments", deployments.app), ("keys", keys.app), ("tenants", tenants.app),
                    ("env", environments.app)):  # fmt: skip
    app.add_typer(group, name=name)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=lambda v: _version(v),
                                          help="Say the version and end.")] = False,
) -> None:  # fmt: skip
    """Modelyard: data, training, evaluation and serving of models, on your own machine."""


def run(arguments: list[str]) -> int:
    """Follow one command line; the exit status."""
    as_json = "--json" in arguments
    try:
        status = _command()(arguments, prog_name="yard", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except TyperException as error:
        said = error.format_message()
        if said == _help(error):  # `yard data`: no mistake, the help is the answer
            print(said, file=sys.stderr)
        else:
            print_failure("usage", said, as_json, hint=_usage_hint(error))
        return error.exit_code
    except ModelyardError as error:
        print_error(error, as_json)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # `yard ... | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _command() -> TyperGroup:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def _help(error: TyperException) -> str | None:
    """The help of the command that was being followed."""
    context = getattr(error, "ctx", None)
    return None if context is None else context.get_help()


def _usage_hint(error: TyperException) -> str | None:
    context = getattr(error, "ctx", None)
    return None if context is None else f"see {context.command_path} --help"


def _version(asked: bool) -> None:
    if asked:
        print(f"modelyard {__version__}")
        raise typer.Exit
