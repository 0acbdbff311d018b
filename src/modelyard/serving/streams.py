"""The replica of a model that generates: many requests at a time on one event loop, answers piece by piece.

The same frames as `serving.server` speaks. Requests past the engine's slots wait here; a gateway sends none.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import time
from pathlib import Path
from typing import Final, cast

import msgspec
import uvloop

from modelyard import dialects
from modelyard.dialects import DIALECTS, Conversation, Dialect, Generating, Served
from modelyard.engines.generation import Generator
from modelyard.errors import DeadlineExceeded, InvalidInput, ModelyardError, NotFound, Unavailable
from modelyard.serving import frames
from modelyard.serving.frames import Frame, FrameError, Kind, Parser
from modelyard.types.generation import AudioRequest, Delta, TextRequest, Usage
from modelyard.types.replica import Hello, Statistics

_DRAIN: Final = 8.0  # seconds, below the launcher's grace of 10
_UNREAD: Final = 8 << 20  # bytes of answers that a gateway may leave unread
_COUNT_EVERY: Final = 0.1  # seconds between two counts of an answer that is not streamed

_log = logging.getLogger(__name__)


class StreamServer:
    """Listens from `run` on, at a path or on a socket that is bound already."""

    def __init__(self, at: Path | socket.socket, hello: Hello, generator: Generator, served: Served) -> None:
        self._path = at if isinstance(at, Path) else None
        self._listener = at if isinstance(at, socket.socket) else None
        self.hello = frames.pack(Kind.HELLO, 0, msgspec.json.encode(hello))
        self.generator, self.served = generator, served
        self.counts = Counts()
        self.links: set[_Link] = set()
        self.slots = asyncio.Semaphore(max(generator.abilities.slots, 1))

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what is under way and return."""
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        listener = self._listener or _bound(cast(Path, self._path))
        server = await loop.create_unix_server(lambda: _Link(self), sock=listener)
        await stopped.wait()
        server.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        await self._drain()
        await self.generator.aclose()

    async def _drain(self) -> None:
        for link in self.links:
            link.write(frames.pack(Kind.DRAIN, 0))
        tasks = [task for link in self.links for task in link.tasks.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_DRAIN)
        for link in list(self.links):
            link.close()


class Counts:
    """What `Statistics` says."""

    def __init__(self) -> None:
        self.started_ns = time.time_ns()
        self.requests = self.failures = self.rows = 0
        self.queue_ns = self.compute_ns = 0
        self.prompt = self.cached = self.completion = 0

    def add(self, usage: Usage) -> None:
        self.prompt += usage.prompt
        self.cached += usage.cached
        self.completion += usage.completion

    def statistics(self) -> Statistics:
        return Statistics(
            started_ns=self.started_ns,
            requests=self.requests,
            failures=self.failures,
            rows=self.rows,
            batches=self.rows,
            queue_ns=self.queue_ns,
            compute_ns=self.compute_ns,
            prompt_tokens=self.prompt,
            cached_tokens=self.cached,
            completion_tokens=self.completion,
        )


class _Link(asyncio.Protocol):
    """One gateway."""

    def __init__(self, server: StreamServer) -> None:
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self._server = server
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.links.add(self)
        self.write(self._server.hello)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.links.discard(self)
        for task in self.tasks.values():
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._parser.feed(data):
                self._take(frame)
        except FrameError:
            self.close()

    def write(self, *parts: bytes) -> None:
        """Pieces of one turn of the loop leave in one write."""
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += parts

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.writelines(self._out)
            if self._transport.get_write_buffer_size() > _UNREAD:
                self._transport.abort()  # a gateway that reads nothing has broken
        self._out.clear()

    def _take(self, frame: Frame) -> None:
        """Raises FrameError."""
        if frame.kind == Kind.REQUEST:
            work = _Work(self._server, self, frame.id)
            task = self._loop.create_task(work.run(frame.payload, time.monotonic()))
            self.tasks[frame.id] = task
            task.add_done_callback(lambda _: self.tasks.pop(frame.id, None))
        elif frame.kind == Kind.CANCEL:
            if (task_there := self.tasks.get(frame.id)) is not None:
                task_there.cancel()
        elif frame.kind == Kind.STATISTICS:
            counted = self._server.counts.statistics()
            self.write(frames.pack(Kind.STATISTICS, frame.id, msgspec.json.encode(counted)))
        elif frame.kind != Kind.DRAIN:
            raise FrameError(f"a frame of kind {frame.kind}")


class _Work:
    """One request from its frame to its last piece."""

    def __init__(self, server: StreamServer, link: _Link, number: int) -> None:
        self._server, self._link, self._number = server, link, number
        self._dialect: Dialect = DIALECTS[0]
        self._conversation: Conversation | None = None
        self._prompt = self._cached = self._completion = 0
        self._prompts: set[str | tuple[int, ...] | None] = set()
        self._begun = False
        self._counted = 0.0

    async def run(self, payload: bytes, arrived: float) -> None:
        counts = self._server.counts
        counts.requests += 1
        try:
            request = frames.read_request(payload)
            async with asyncio.timeout_at(arrived + request.left / 1000):
                await self._answer(request, arrived)
        except asyncio.CancelledError:
            counts.failures += 1
            raise
        except TimeoutError:
            self._fail(DeadlineExceeded("the deadline passed before the answer was whole"))
        except Exception as error:
            self._fail(error)
        finally:
            counts.add(self._usage())

    async def _answer(self, request: frames.Request, arrived: float) -> None:
        self._dialect = _dialect(request.dialect)
        headers = frames.read_headers(request.headers)
        asked = dialects.Request(headers, request.body, request.operation)
        if not isinstance(self._dialect, Generating):
            raise NotFound("this model generates, and this protocol has no words for it")
        conversation = await asyncio.to_thread(self._dialect.converse, asked, self._server.served)
        self._conversation = conversation
        async with asyncio.TaskGroup() as group:
            for choice in range(len(conversation.requests)):
                group.create_task(self._choice(conversation, choice, arrived))
        if conversation.stream:
            self._begin(conversation.content_type)
            self._part(conversation.close(self._usage()), last=True)
        else:
            self._whole(conversation)

    async def _choice(self, conversation: Conversation, choice: int, arrived: float) -> None:
        counts = self._server.counts
        request = conversation.requests[choice]
        async with self._server.slots:
            started = time.monotonic()
            counts.queue_ns += int((started - arrived) * 1e9)
            counts.rows += 1
            pieces = self._server.generator.generate(request)
            async with contextlib.aclosing(pieces):  # type: ignore[type-var]
                async for delta in pieces:
                    self._completion += delta.tokens
                    if delta.prompt:
                        self._read(request, delta)
                    self._tell(conversation, conversation.piece(choice, delta))
            counts.compute_ns += int((time.monotonic() - started) * 1e9)

    def _read(self, request: TextRequest | AudioRequest, delta: Delta) -> None:
        """A prompt counts once, however many answers it gets."""
        asked = request.prompt if isinstance(request, TextRequest) else None
        if asked not in self._prompts:
            self._prompts.add(asked)
            self._prompt += delta.prompt
            self._cached += delta.cached

    def _tell(self, conversation: Conversation, piece: bytes) -> None:
        if conversation.stream:
            if piece:
                self._begin(conversation.content_type)
                self._part(piece)
        elif (now := time.monotonic()) - self._counted > _COUNT_EVERY:
            self._counted = now
            self._part(b"")

    def _begin(self, content_type: str) -> None:
        if not self._begun:
            self._begun = True
            headers = frames.pack_headers({"content-type": content_type, "cache-control": "no-cache"})
            self._link.write(frames.answer_head(self._number, 200, frames.MORE, headers, 0))

    def _part(self, body: bytes, *, last: bool = False) -> None:
        tokens = self._prompt, self._cached, self._completion
        flags = 0 if last else frames.MORE
        self._link.write(frames.part_head(self._number, flags, tokens, len(body)), body)

    def _whole(self, conversation: Conversation) -> None:
        self._part(b"")
        response = conversation.whole(self._usage())
        self._respond(response)

    def _respond(self, response: dialects.Response) -> None:
        headers = b""
        if response.headers or response.content_type != "application/json":
            headers = frames.pack_headers({"content-type": response.content_type, **response.headers})
        head = frames.answer_head(self._number, response.status, 0, headers, len(response.body))
        self._link.write(head, response.body)

    def _fail(self, error: Exception) -> None:
        self._server.counts.failures += 1
        told = _for_users(error)
        if self._begun and self._conversation is not None:
            self._part(self._conversation.broken(told), last=True)
        else:
            self._respond(dialects.failure(self._dialect, told))

    def _usage(self) -> Usage:
        return Usage(prompt=self._prompt, cached=self._cached, completion=self._completion)


def _dialect(number: int) -> Dialect:
    if number >= len(DIALECTS):
        raise InvalidInput("this replica does not know the dialect", came=number)
    return DIALECTS[number]


def _for_users(error: Exception) -> ModelyardError:
    if isinstance(error, BaseExceptionGroup):
        first = error.exceptions[0]
        return _for_users(first if isinstance(first, Exception) else ModelyardError("internal error"))
    if isinstance(error, ModelyardError):
        return error
    if isinstance(error, MemoryError):
        return Unavailable("the model has not enough memory for this request")
    _log.error("%s", json.dumps({"event": "failure", "error": repr(error)[:500]}), exc_info=error)
    return ModelyardError("internal error")


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        bound.bind(os.fspath(path))
    finally:
        os.umask(mask)
    return bound
