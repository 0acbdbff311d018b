"""Streamed completions asked for in a closed loop, cheaply: the asker shares its cores with the servers.

An answer's bytes are not decoded: its events are counted as they come, and the usage is read from the last of them.

    first    request sent -> first event, in seconds (time to first token)
    each     (last token - first token) / (tokens - 1), one value an answer (time per output token)
    rate     tokens of whole answers / wall time of all of them

Every answer has a connection of its own: llama.cpp's server closes one after a streamed reply.
"""

import asyncio
import json
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

PATH = "/v1/completions"
# fmt: off
WORDS = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school",
    "state", "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week",
    "company", "system", "program", "question", "work", "number", "night", "point", "home", "water", "room",
    "mother", "area", "money", "story", "fact", "month", "lot", "right", "study", "book", "eye", "job",
    "word", "business", "issue", "side", "kind", "head", "house", "service", "friend", "father", "power",
    "hour", "game", "line", "end", "member", "law", "car", "city", "name", "team", "minute", "idea", "body",
    "back", "parent", "face", "level", "office", "door", "health", "person", "art", "war", "history",
    "party", "result", "change", "morning", "reason", "research", "girl", "guy", "moment", "air", "teacher",
)
# fmt: on
"""Each is one token of Gemma's vocabulary, with the space before it."""

EVENT = b"data: {"
_USAGE = re.compile(rb'"completion_tokens":(\d+)')
_PROMPT = re.compile(rb'"prompt_tokens":(\d+)')
_TAIL = 4096  # bytes of an answer's end, in which the usage stands


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is asked for: so many tokens of a prompt that nobody has seen, and exactly so many of an answer."""

    prompt: int
    answer: int


@dataclass(eq=False)
class Reading:
    """An answer as it comes in. Times are of the monotonic clock; `marks` are the events there by each."""

    began: float = 0.0
    marks: list[tuple[float, int]] = field(default_factory=list)
    events: int = 0
    ended: float = 0.0
    prompt: int = 0
    tokens: int = 0
    error: str = ""
    hung_up: bool = False
    _carry: bytes = b""
    _tail: bytes = b""

    def feed(self, data: bytes) -> None:
        seen = self._carry + data
        found = seen.count(EVENT)
        if found:
            self.events += found
            self.marks.append((time.monotonic(), self.events))
        self._carry = seen[-len(EVENT) + 1 :]
        self._tail = (self._tail + data)[-_TAIL:]

    def end(self, error: str = "") -> None:
        """The answer is whole, or broke off."""
        self.ended = time.monotonic()
        tokens, prompt = _USAGE.search(self._tail), _PROMPT.search(self._tail)
        self.error = error
        if tokens and prompt and b"data: [DONE]" in self._tail:
            self.tokens, self.prompt = int(tokens[1]), int(prompt[1])
        elif not error and not self.hung_up:
            self.error = "the answer broke off"

    @property
    def first(self) -> float:
        """Seconds to the first event."""
        return self.marks[0][0] - self.began

    @property
    def each(self) -> float:
        """Seconds a token after the first one."""
        last = next((at for at, events in self.marks if events >= self.tokens), self.marks[-1][0])
        return (last - self.marks[0][0]) / max(self.tokens - 1, 1)

    def between(self, start: float, stop: float) -> float:
        """Tokens that came in a stretch of time; an event of an answer that is not whole counts as one."""
        each = self.tokens / max(self.events, 1) if self.tokens else 1.0
        before, found = 0, 0
        for at, events in self.marks:
            if start <= at < stop:
                found += events - before
            before = events
        return found * each


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server of this API. `model` is what it calls the model."""

    url: str
    model: str = "model"
    key: str = ""

    def request(self, body: bytes) -> bytes:
        parts = urlsplit(self.url)
        lines = [f"POST {PATH} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"Authorization: Bearer {self.key}"] if self.key else []
        return "\r\n".join([*lines, "", ""]).encode() + body


class Questions:
    """Bodies of requests with prompts that share no beginning, so that no cache of prefixes helps."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._serial = 0

    def body(self, model: str, shape: Shape) -> bytes:
        """A prompt of `shape.prompt` tokens, the one that begins every sequence counted."""
        self._serial += 1
        first = [WORDS[self._serial // len(WORDS) ** k % len(WORDS)] for k in range(3)]
        rest = self._random.choices(WORDS, k=max(shape.prompt - 1 - len(first), 0))
        asked: dict[str, Any] = {
            "model": model,
            "prompt": "".join(f" {word}" for word in [*first, *rest][: max(shape.prompt - 1, 1)]),
            "max_tokens": shape.answer,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return json.dumps(asked).encode()


class _Asking(asyncio.Protocol):
    """One request on one connection; `done` ends with it. Past `leave_after` events it hangs up."""

    def __init__(self, request: bytes, reading: Reading, leave_after: int | None) -> None:
        self.reading = reading
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request, self._leave_after = request, leave_after
        self._head = b""
        self._streams = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._streams:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._streams = True
            if b" 200 " not in head[:16]:
                return self._end(f"{head[:15].decode()}: {data[:300].decode(errors='replace')}")
        reading = self.reading
        reading.feed(data)
        if self._leave_after is not None and reading.events >= self._leave_after:
            reading.hung_up = True
            self._end()
        elif b"data: [DONE]" in reading._tail:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._end()

    def _end(self, error: str = "") -> None:
        if not self.done.done():
            self.reading.end(error)
            self.done.set_result(None)
        self.close()

    def close(self) -> None:
        self._transport.abort()


async def ask(
    target: Target, body: bytes, *, leave_after: int | None = None, kept: list[Reading] | None = None
) -> Reading:
    """One answer. Its `error` says what went wrong; `kept` gets it before it is whole."""
    parts = urlsplit(target.url)
    reading, request = Reading(began=time.monotonic()), target.request(body)
    if kept is not None:
        kept.append(reading)
    loop = asyncio.get_running_loop()
    try:
        _, asking = await loop.create_connection(
            lambda: _Asking(request, reading, leave_after), parts.hostname, parts.port
        )
    except OSError as error:
        reading.end(str(error))
        return reading
    try:
        await asking.done
    except asyncio.CancelledError:
        reading.hung_up = True
        raise
    finally:
        asking.close()
    return reading


async def ready(target: Target) -> None:
    """Wait for the first answer: what is new is known everywhere a moment later. Raises RuntimeError."""
    questions = Questions(secrets.randbits(32))
    for _ in range(100):
        reading = await ask(target, questions.body(target.model, Shape(prompt=8, answer=1)))
        if not reading.error:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"no answer: {reading.error}")


Ask = Callable[[], Awaitable[Reading]]


async def closed_loop(ask_one: Ask, streams: int, answers: int) -> list[Reading]:
    """`answers` answers, `streams` of them at a time. Raises RuntimeError where one failed."""
    left = iter(range(answers))
    readings: list[Reading] = []

    async def stream() -> None:
        for _ in left:
            readings.append(await ask_one())

    await asyncio.gather(*(stream() for _ in range(streams)))
    check(readings)
    return readings


def check(readings: Sequence[Reading]) -> None:
    """Raises RuntimeError for answers that failed."""
    failed = [r.error for r in readings if r.error]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(readings)} answers failed; the first: {failed[0]}")


def rate(readings: Sequence[Reading]) -> float:
    """Tokens a second of whole answers, from the first request to the last token."""
    wall = max(r.ended for r in readings) - min(r.began for r in readings)
    return sum(r.tokens for r in readings) / wall


def asker(target: Target, questions: Questions, shape: Shape) -> Ask:
    """Asks the same shape again and again."""
    return lambda: ask(target, questions.body(target.model, shape))


def turns(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Each name once a round, every second round backwards, so that a drift of the machine cancels."""
    for number in range(rounds):
        yield from names if number % 2 == 0 else reversed(names)
