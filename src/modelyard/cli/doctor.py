"""`yard doctor`."""

import msgspec
import typer

from modelyard.cli.checks import check_all
from modelyard.cli.output import Json, show, table
from modelyard.cli.platform import HomeOption, home_of


def doctor(home: HomeOption = None, as_json: Json = False) -> None:
    """Look for what keeps the platform from working, and say what to do. Exit status 1: something does."""
    findings = list(check_all(home_of(home)))
    blocked = any(f.level == "blocks" for f in findings)
    rows = [(f.level, f.check, f.found, f.remedy) for f in findings]
    last = "Something keeps the platform from working; see the remedies." if blocked else "All is well."
    raw = {"ok": not blocked, "findings": msgspec.to_builtins(findings)}
    show(raw, as_json, table(("", "check", "found", "remedy"), rows, ""), last)
    if blocked:
        raise typer.Exit(1)
