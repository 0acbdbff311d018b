"""What a script writes: words for its run, and its log."""

import math
import os
import threading
from typing import Any, Final

import msgspec

from modelyard.types.script import ScriptEvent

_PART: Final = 1 << 16
_LONGEST_LINE: Final = 1 << 20
LOG_BYTES: Final = 64 << 20
_LAST_LINE: Final = 300
_SUMMARY_BYTES: Final = 1 << 16
_SHOWN: Final = (bool, int, float, str)


class EventReader:
    """Reads ScriptEvents from a pipe until its other end is closed. What is none of them is left out and
    counted: the
    script may write anything there. `summary` holds what it said of itself."""

    def __init__(self, descriptor: int, reporter: Any) -> None:
        self.summary: dict[str, Any] = {}
        self.refused = 0
        self._descriptor, self._reporter = descriptor, reporter
        self._decode = msgspec.json.Decoder(ScriptEvent).decode
        self._thread = threading.Thread(target=self._read, name="script events", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Until the script's last word was read."""
        self._thread.join(10.0)

    def _read(self) -> None:
        held = bytearray()
        while part := os.read(self._descriptor, _PART):
            held += part
            *lines, rest = bytes(held).split(b"\n")
            held = bytearray(rest[-_LONGEST_LINE:])
            for line in lines:
                self._take(line)
        os.close(self._descriptor)

    def _take(self, line: bytes) -> None:
        try:
            event = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.refused += 1
            return
        if event.metrics:
            values = {name: math.nan if v is None else v for name, v in event.metrics.items()}
            self._reporter.points(event.step or 0, values, event.time)
        if event.done is not None and event.total is not None:
            self._reporter.progress(event.done, event.total, event.text[:500])
        for name, value in event.summary.items():
            self._sum_up(name, value)

    def _sum_up(self, name: str, value: Any) -> None:
        shown = value if isinstance(value, _SHOWN) else str(value)
        if len(msgspec.json.encode({**self.summary, name[:100]: shown})) <= _SUMMARY_BYTES:
            self.summary[name[:100]] = shown


class LogCopy:
    """Copies a script's output to the run's log, up to a limit; what comes after is read and left out, so that the
    script goes on. `last_line` is the last one that is not empty: of a script that failed, its error."""

    def __init__(self, source: int, target: int, limit: int = LOG_BYTES) -> None:
        self._source, self._target, self._left = source, target, limit
        self._tail = b""
        self._thread = threading.Thread(target=self._copy, name="script log", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Until everything was copied."""
        self._thread.join(10.0)

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:_LAST_LINE] if lines else ""

    def _copy(self) -> None:
        while part := os.read(self._source, _PART):
            self._tail = (self._tail + part)[-_PART:]
            if self._left > 0:
                self._write(part[: self._left])
                self._left -= len(part)
                if self._left <= 0:
                    self._write(b"\n(the log is full: what the script prints from here on is not kept)\n")
        os.close(self._source)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._target, data) :]
