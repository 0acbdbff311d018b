"""A batch's requests on their way: several at a time to the gateway, again after a pause where it is busy."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from modelyard.runs.batch_answers import Answer, Answers, Failure, Response, answer
from modelyard.runs.batch_lines import Line
from modelyard.types.run import Reporter

_WAITED_FOR: Final = frozenset({401, 429, 503})
"""Busy, or (401) a gateway that has not heard of this attempt yet: asked again until the batch's time is over."""
_TRIED_AGAIN: Final = frozenset({408, 500, 502, 504})
_MOST_TRIES: Final = 3  # of what may be this request's own fault
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_SECONDS: Final = httpx.Timeout(900.0, connect=10.0)
_ANSWER_BYTES: Final = 64 << 20
_LOOK: Final = 0.2
_REPORT_EVERY: Final = 1.0
_NO_MORE_TIME: Final = Failure(
    code="batch_expired", message="This request could not be executed before the completion window expired."
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where requests go, how many at a time, and until when (seconds since the epoch)."""

    url: str
    key: str
    at_once: int
    expires_at: float


class Sending:
    """Answers every line that has no answer yet."""

    def __init__(self, target: Target, answers: Answers, reporter: Reporter, total: int) -> None:
        self._target, self._answers, self._reporter, self._total = target, answers, reporter, total
        self._next_report = 0.0

    def run(self, lines: Iterator[Line]) -> bool:
        """Whether there was time for all of them. Raises Cancelled, and OSError for a disk that is full."""
        self._report(now=True)
        try:
            asyncio.run(self._run(lines))
        except TimeoutError:
            return False
        finally:
            self._report(now=True)
        return True

    def expire(self, lines: Iterator[Line]) -> None:
        """Say of every line without an answer that there was no time for it."""
        for line in lines:
            if not self._answers.has(line.custom_id):
                self._answers.add(answer(line.custom_id, error=_NO_MORE_TIME))
                self._reporter.check()
        self._report(now=True)

    async def _run(self, lines: Iterator[Line]) -> None:
        """Raises TimeoutError when the batch's time is over."""
        limits = httpx.Limits(max_connections=self._target.at_once)
        headers = {"Authorization": f"Bearer {self._target.key}", "Content-Type": "application/json"}
        async with (
            asyncio.timeout(max(0.0, self._target.expires_at - time.time())),
            httpx.AsyncClient(headers=headers, limits=limits, timeout=_SECONDS, trust_env=False) as http,
        ):
            workers = (self._work(http, lines) for _ in range(self._target.at_once))
            working: asyncio.Future[Any] = asyncio.gather(*workers)
            watching: asyncio.Future[Any] = asyncio.create_task(self._watch())
            try:
                await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
                (working if working.done() else watching).result()
            finally:
                working.cancel()
                watching.cancel()
                await asyncio.gather(working, watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self._reporter.check()
            await asyncio.sleep(_LOOK)

    async def _work(self, http: httpx.AsyncClient, lines: Iterator[Line]) -> None:
        for line in lines:  # shared: each worker takes the next one
            if not self._answers.has(line.custom_id):
                found = await self._ask(http, line)
                await asyncio.to_thread(self._answers.add, found)
                self._report()

    async def _ask(self, http: httpx.AsyncClient, line: Line) -> Answer:
        """The answer that is kept, after as many tries as it takes."""
        pause, tries = _FIRST_PAUSE, 0
        while True:
            wanted = 0.0
            try:
                status, found, wanted = await self._post(http, line)
                tries += status in _TRIED_AGAIN
                if not (status in _WAITED_FOR or (status in _TRIED_AGAIN and tries < _MOST_TRIES)):
                    return found
            except httpx.ReadTimeout:
                tries += 1
                if tries >= _MOST_TRIES:
                    said = f"no answer came within {_SECONDS.read:g} s"
                    return answer(line.custom_id, error=Failure(code="request_timeout", message=said))
            except httpx.TransportError:
                pass  # a gateway that is being started again
            await asyncio.sleep(max(wanted, pause * random.uniform(0.5, 1.0)))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _post(self, http: httpx.AsyncClient, line: Line) -> tuple[int, Answer, float]:
        """Status, answer, seconds after which the gateway wants to be asked again."""
        async with http.stream("POST", self._target.url + line.url, content=bytes(line.body)) as response:
            body = await _read(response)
        status = response.status_code
        found = _answer_of(line, status, response.headers.get("x-request-id", ""), body)
        return status, found, _retry_after(response.headers.get("retry-after", ""))

    def _report(self, *, now: bool = False) -> None:
        time_now = time.monotonic()
        if not now and time_now < self._next_report:
            return
        self._next_report = time_now + _REPORT_EVERY
        tally = self._answers.tally
        self._reporter.metrics(tally.answered, {k: float(v) for k, v in tally.figures().items()})
        self._reporter.progress(tally.answered, self._total, f"{tally.answered} of {self._total} answered")


async def _read(response: httpx.Response) -> bytes | None:
    """None for more than is kept."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _ANSWER_BYTES:
            return None
    return bytes(body)


def _answer_of(line: Line, status: int, request_id: str, body: bytes | None) -> Answer:
    if body is None:
        said = f"the answer is longer than {_ANSWER_BYTES} bytes"
        return answer(line.custom_id, error=Failure(code="response_too_large", message=said))
    try:
        raw = msgspec.Raw(msgspec.json.format(body, indent=-1))  # on one line, whatever it was
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        failure = Failure(code="invalid_response", message=f"the answer with status {status} is no JSON")
        return answer(line.custom_id, error=failure)
    return answer(line.custom_id, response=Response(status_code=status, request_id=request_id, body=raw))


def _retry_after(text: str) -> float:
    """Seconds (RFC 9110, 10.2.3); dates and nonsense are 0."""
    return min(float(text), _LONGEST_PAUSE) if text.isascii() and text.isdigit() else 0.0
