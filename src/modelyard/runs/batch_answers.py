"""What a batch has answered: two files that only grow, each line on the disk before its request counts as answered.

So an attempt that was killed goes on where it was, and each request has one answer. The lines are OpenAI's:

    {"id": "batch_req_...", "custom_id": "a", "response": {"status_code", "request_id", "body"}, "error": null}
"""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from modelyard.types.ids import new_id

OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
"""The two files: of requests that were answered well, and of the others."""
FILES: Final = (OUTPUT, ERRORS)


class Response(Struct, frozen=True, kw_only=True):
    status_code: int
    request_id: str
    body: msgspec.Raw


class Failure(Struct, frozen=True, kw_only=True):
    """Why a request has no response."""

    code: str
    message: str


class Answer(Struct, frozen=True, kw_only=True):
    """A line of either file: `response` or `error` is None."""

    id: str
    custom_id: str
    response: Response | None = None
    error: Failure | None = None

    @property
    def good(self) -> bool:
        return self.response is not None and self.response.status_code == 200


class _Details(Struct, frozen=True):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Body(Struct, frozen=True):
    usage: _Usage | None = None


@dataclass(kw_only=True)
class Tally:
    """Requests, and tokens of those that were answered well."""

    completed: int = 0
    failed: int = 0
    tokens: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("input", "cached", "output", "reasoning"), 0)
    )

    @property
    def answered(self) -> int:
        return self.completed + self.failed

    def add(self, answer: Answer) -> None:
        if not answer.good or answer.response is None:
            self.failed += 1
            return
        self.completed += 1
        usage = _usage(answer.response.body)
        inputs, outputs = usage.prompt_tokens_details, usage.completion_tokens_details
        self.tokens["input"] += usage.prompt_tokens
        self.tokens["output"] += usage.completion_tokens
        self.tokens["cached"] += inputs.cached_tokens if inputs else 0
        self.tokens["reasoning"] += outputs.reasoning_tokens if outputs else 0

    def figures(self) -> dict[str, int]:
        """Flat, as metrics and summaries hold them."""
        return {"completed": self.completed, "failed": self.failed,
                **{f"{name}_tokens": n for name, n in self.tokens.items()}}  # fmt: skip


_answers = msgspec.json.Decoder(Answer)
_bodies = msgspec.json.Decoder(_Body)


def answer(custom_id: str, *, response: Response | None = None, error: Failure | None = None) -> Answer:
    return Answer(id=new_id("batch_req"), custom_id=custom_id, response=response, error=error)


def read_answers(path: Path) -> Iterator[tuple[bytes, Answer]]:
    """The whole lines of one of the files, none where it is not there: a kill may leave the last one torn."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line, _answers.decode(line)


class Answers:
    """A context in which answers are added, after those that earlier attempts have left in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.tally = Tally()
        self._done: set[str] = set()
        self._files: dict[str, BinaryIO] = {}
        for name in FILES:
            size = 0
            for line, found in read_answers(folder / name):
                size += len(line)
                self._note(found)
            self._files[name] = _open(folder / name, size)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._waiting: list[Answer] = []
        self._came = self._written = 0

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def has(self, custom_id: str) -> bool:
        """Whether this request is answered."""
        with self._lock:
            return custom_id in self._done

    def add(self, new: Answer) -> None:
        """Keep an answer; it is on the disk when this returns. Safe to call from any thread: those that wait
        together are written together. Raises OSError for a disk that is full."""
        with self._lock:
            self._waiting.append(new)
            self._came += 1
            mine = self._came
        with self._writing:
            if self._written >= mine:
                return
            with self._lock:
                batch, self._waiting = self._waiting, []
                last = self._came
            self._write(batch)
            self._written = last
            with self._lock:
                for written in batch:
                    self._note(written)

    def _note(self, found: Answer) -> None:
        self._done.add(found.custom_id)
        self.tally.add(found)

    def _write(self, batch: list[Answer]) -> None:
        for name, file in self._files.items():
            lines = [msgspec.json.encode(a) + b"\n" for a in batch if a.good == (name == OUTPUT)]
            if lines:
                _append(file, b"".join(lines))


def _open(path: Path, size: int) -> BinaryIO:
    """To append after the whole lines."""
    file = path.open("ab", buffering=0)
    file.truncate(size)
    return file


def _append(file: BinaryIO, data: bytes) -> None:
    """All of it or nothing."""
    size = os.fstat(file.fileno()).st_size
    try:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def _usage(body: msgspec.Raw) -> _Usage:
    try:
        return _bodies.decode(body).usage or _Usage()
    except msgspec.MsgspecError:
        return _Usage()  # an answer that counts no tokens
