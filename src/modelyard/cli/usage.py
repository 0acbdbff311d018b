"""`yard usage`."""

from typing import Annotated, Any, Final

import typer

from modelyard.cli.output import Json, show, table
from modelyard.cli.platform import client
from modelyard.client.usage import GROUPS, Usage

_COUNTS: Final = ("requests", "prompt", "cached", "completion", "tokens")

Since = Annotated[str | None, typer.Option("--from", metavar="DAY", help="As 2026-01-31, in UTC.")]
Until = Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day, included.")]


def usage(
    since: Since = None,
    until: Until = None,
    key: Annotated[str | None, typer.Option(help="A key's id or name.")] = None,
    model: Annotated[str | None, typer.Option(help="A deployment's name.")] = None,
    by: Annotated[str, typer.Option(help="What to sum by: some of key, model and day.")] = ",".join(GROUPS),
    tenant: Annotated[str | None, typer.Option(help="Another tenant.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """What keys used, in requests and tokens."""
    group = by.split(",")
    found = client().usage(since=since, until=until, key=key, model=model, by=group, tenant=tenant)
    columns = [column for name in group for column in (("key", "id") if name == "key" else (name,))]
    rows = [[*_names(one, group), *map(_count, _counts(one))] for one in found]
    sums = [_count(sum(counts)) for counts in zip(*map(_counts, found), strict=True)]
    whole = [["total", *[""] * (len(columns) - 1), *sums]] if len(found) > 1 else []
    face = table((*columns, *_COUNTS), [*rows, *whole], "Nothing was used.")
    show([one.raw for one in found], as_json, face)


def _names(one: Usage, group: list[str]) -> list[Any]:
    pairs = {"key": [one.key_name, one.key], "model": [one.model], "day": [one.day]}
    return [name for part in group for name in pairs[part]]


def _counts(one: Usage) -> list[int]:
    return [one.requests, one.prompt_tokens, one.cached_tokens, one.completion_tokens, one.tokens]


def _count(number: int) -> str:
    return f"{number:,}"
