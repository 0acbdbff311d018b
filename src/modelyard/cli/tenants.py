"""`yard tenants`."""

from typing import Annotated

import typer

from modelyard.cli.output import Json, show, table
from modelyard.cli.platform import client
from modelyard.client.record import when

app = typer.Typer(
    help="Tenants: create, list, delete. Each has keys, models, deployments and usage of its own.",
    no_args_is_help=True,
)


@app.command()
def create(name: str, as_json: Json = False) -> None:
    """Make a tenant; then: yard keys create NAME --tenant TENANT."""
    made = client().tenants.create(name)
    show(made.raw, as_json, f"Tenant {made.name} is there.")


@app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1)] = 50, as_json: Json = False) -> None:
    """List tenants."""
    found = client().tenants.list(limit)
    rows = [(t.name, when(t.raw.get("created_at"))) for t in found]
    show([t.raw for t in found], as_json, table(("name", "made"), rows, "No tenant yet."))


@app.command()
def delete(name: str, as_json: Json = False) -> None:
    """Delete a tenant that owns nothing any more. What its keys used is forgotten with it."""
    client().tenants.delete(name)
    show({"name": name, "deleted": True}, as_json, f"Tenant {name} is deleted.")
