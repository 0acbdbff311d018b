"""Chat templates, rendered in a process of their own with limits on time, memory and size.

A template comes with a model, and so from a stranger: one that does not end, or grows without end, costs its own
request and nothing else. Source: Hugging Face, "Chat templates" (Jinja; what a template may call is listed there).
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any, Final

from modelyard.errors import DeadlineExceeded, InvalidInput, TooLarge, Unavailable

SECONDS: Final = 2.0
LONGEST: Final = 16 << 20
"""Bytes of a rendered text, and of a conversation."""
_STARTING: Final = 20.0  # seconds: the first answer waits for the process's imports


class TemplateProcess:
    """One model's template. `render` may be called from several threads; one renders at a time."""

    def __init__(self, template: str, tokens: Mapping[str, str] | None = None) -> None:
        self._said = json.dumps({"template": template, "tokens": dict(tokens or {})}).encode() + b"\n"
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._fresh = False

    def render(self, messages: Sequence[Mapping[str, Any]], **named: Any) -> str:
        """`named`: tools, documents, add_generation_prompt and what else a template knows. JSON values.

        Raises InvalidInput where the template itself refuses or cannot be read, DeadlineExceeded, TooLarge.
        """
        asked = json.dumps({"messages": messages, "named": named}).encode() + b"\n"
        if len(asked) > LONGEST:
            raise TooLarge("the conversation", came=f"{len(asked):,} bytes", allowed=f"{LONGEST:,}")
        with self._lock:
            answer = self._ask(asked)
        if "text" in answer:
            return str(answer["text"])
        raise InvalidInput("the model's chat template refused the messages", came=str(answer.get("error")))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, asked: bytes) -> dict[str, Any]:
        for attempt in range(2):
            child = self._started()
            try:
                line = self._exchange(child, asked)
            except BrokenPipeError:
                line = b""
            if line:
                self._fresh = False
                answer: dict[str, Any] = json.loads(line)
                return answer
            self._end()
            if not self._fresh and attempt:
                break
        raise TooLarge("rendering the chat template needed more memory than it may have")

    def _exchange(self, child: subprocess.Popen[bytes], asked: bytes) -> bytes:
        """Both ways at once: neither side waits for the other to read. Empty where the process has ended."""
        assert child.stdin is not None
        assert child.stdout is not None
        reading = child.stdout.fileno()
        writer = threading.Thread(target=_write, args=(child.stdin, asked), daemon=True)
        writer.start()
        until = monotonic() + SECONDS + (_STARTING if self._fresh else 0.0)
        got = bytearray()
        with DefaultSelector() as selector:
            selector.register(reading, EVENT_READ)
            while not got.endswith(b"\n"):
                left = until - monotonic()
                if left <= 0 or not selector.select(left):
                    self._end()
                    raise DeadlineExceeded(
                        "the model's chat template does not end", allowed=f"{SECONDS:g} seconds"
                    )
                part = os.read(reading, 1 << 20)
                if not part:
                    return b""
                got += part
                if len(got) > LONGEST:
                    self._end()
                    raise TooLarge("the rendered conversation", allowed=f"{LONGEST:,} bytes")
        writer.join()
        return bytes(got)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            argv = [sys.executable, "-m", "modelyard.serving.template_process"]
            try:
                self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            except OSError as error:
                raise Unavailable("chat templates cannot be rendered now") from error
            assert self._child.stdin is not None
            self._fresh = True
            _write(self._child.stdin, self._said)
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _write(stream: Any, data: bytes) -> None:
    try:
        stream.write(data)
        stream.flush()
    except (BrokenPipeError, ValueError):  # it has ended: the reader notices
        return
