"""Constraints tried before an engine sees them, in a process apart: a schema may be none, compile for minutes, or
end the process that compiles it (its compiler is recursive). The engine would stand still for all meanwhile.
"""

import json
import logging
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Final

from modelyard.errors import InvalidInput, TooLarge, Unavailable

SECONDS: Final = 1.0
"""That compiling may take: the engine's other streams wait as long."""
LONGEST: Final = 64 << 10
"""Characters of a schema or an expression."""
_STARTING: Final = 30.0  # seconds: imports and the vocabulary
_KNOWN: Final = 1024  # constraints that were good
_log = logging.getLogger(__name__)


class GrammarTrial:
    """For the tokenizer in `folder` (openvino_tokenizer.xml). The process starts with the first constraint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._good: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, name: str, value: str) -> None:
        """`name` is "json_schema" or "regex". Waits; may be called from several threads.

        Raises InvalidInput for what is none or takes too long, Unavailable."""
        if len(value) > LONGEST:
            raise TooLarge("the constraint", came=f"{len(value):,} characters", allowed=f"{LONGEST:,}")
        with self._lock:
            if (name, value) not in self._good:
                self._try(name, value)
            self._good[name, value] = None
            self._good.move_to_end((name, value))
            if len(self._good) > _KNOWN:
                self._good.popitem(last=False)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _try(self, name: str, value: str) -> None:
        child = self._started()
        wrong = self._exchange(child, json.dumps({"name": name, "value": value}).encode() + b"\n", SECONDS)
        if wrong is None:
            self._end()
            raise InvalidInput(
                "the constraint cannot be compiled, or takes too long", allowed=f"{SECONDS:g} s"
            )
        if wrong:
            _log.info("a constraint was refused: %s", wrong)
            raise InvalidInput(f"the {'schema' if name == 'json_schema' else 'regular expression'} cannot be used",
                               came=_without_place(wrong))  # fmt: skip

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        argv = [sys.executable, "-m", "modelyard.engines.grammar_process", str(self._folder.absolute())]
        try:
            self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise Unavailable("constraints cannot be tried now") from error
        if self._exchange(self._child, b"", _STARTING) != "":
            self._end()
            raise Unavailable("constraints cannot be tried now")
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], asked: bytes, seconds: float) -> str | None:
        """What it says: "" where all is well, None where it says nothing."""
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(asked)
            child.stdin.flush()
        except BrokenPipeError:
            return None
        got, until = b"", monotonic() + seconds
        with DefaultSelector() as selector:
            selector.register(child.stdout, EVENT_READ)
            while not got.endswith(b"\n"):
                left = until - monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                part = os.read(child.stdout.fileno(), 1 << 16)
                if not part:
                    return None
                got += part
        return str(json.loads(got))

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _without_place(reason: str) -> str:
    """Without the compiler's own files and lines: "[time] /path/file.cc:898: what"."""
    return reason.rpartition(".cc:")[2].partition(": ")[2].strip() or reason.rpartition("/")[2]
