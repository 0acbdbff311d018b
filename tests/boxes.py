"""Real code in a real sandbox, for the tests of what it may not do."""

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelyard.trust import sandbox
from modelyard.trust.sandbox import Limits, Sandbox
from modelyard.trust.watch import Ended, Watch

needs_bubblewrap = pytest.mark.skipif(
    sandbox.kind() != "bubblewrap", reason=f"no sandbox: {sandbox.lacking()}"
)
LIMITS = Limits(seconds=30, memory_bytes=1 << 30, processes=64)
TRY = """
def tried(what, *arguments, **named):
    try:
        value = what(*arguments, **named)
    except BaseException as error:
        print("refused", type(error).__name__, getattr(error, "errno", ""))
    else:
        print("GOT", repr(value)[:100])
"""
"""Hostile code says with it, for each thing that it tries, whether it was refused."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """How code in a sandbox ended, and what it said."""

    ended: Ended
    output: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A folder that code in a sandbox may write, and how to run code there."""

    folder: Path
    limits: Limits = LIMITS
    env: Mapping[str, str] = field(default_factory=dict)

    def box(self, **fields: Any) -> Sandbox:
        given = {"cwd": self.folder, "write": (self.folder,), "limits": self.limits, "env": self.env}
        return Sandbox(**(given | fields))

    def run(self, code: str, **fields: Any) -> Inside:
        """Python code, to its end."""
        return self.command([sys.executable, "-c", TRY + textwrap.dedent(code)], **fields)

    def command(self, argv: list[str], **fields: Any) -> Inside:
        box = self.box(**fields)
        log = self.folder.with_suffix(".log")
        with log.open("wb") as out:
            child = sandbox.start(argv, box, stdout=out, stderr=subprocess.STDOUT)
        ended = Watch(child, box).wait()
        assert ended is not None
        return Inside(ended=ended, output=log.read_text(errors="replace"))
