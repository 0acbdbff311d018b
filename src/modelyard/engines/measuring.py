"""How fast a generator is on this machine: `python -m modelyard.engines.measuring SPEC.json`, a process for each
candidate, so that one's memory is free before the next one's is taken.

A prompt of some 512 tokens that was not read before; then 1, 4 and 16 streams at a time, each for a few seconds
from when all have begun. And how it goes on from a few prompts, so that candidates can be held against each other.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from modelyard.engines.generation import CreateGenerator, Generator, GeneratorOptions
from modelyard.engines.replying import PROMPTS, replies_of
from modelyard.engines.table import GENERATORS
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.packages.replies import Reply
from modelyard.types.generation import Sampling, TextRequest

STREAMS: Final = (1, 4, 16)
PROMPT: Final = 512
"""Tokens, about."""
_TRIES: Final = 3
_WORDS: Final = 4096


class Spec(Struct, frozen=True, kw_only=True):
    """The `entry` file of a format, and where the figures go. `prompts` are gone on from; `seconds` for each number
    of streams."""

    format: str
    entry: str
    result: str
    prompts: tuple[str, ...] = PROMPTS
    seconds: float = 2.0


class Figures(Struct, frozen=True, kw_only=True):
    """
    engine    its name
    prompt    tokens of a prompt read in a second, alone
    streams   streams at a time -> tokens generated in a second by all; only as many as the engine has slots
    first     seconds to the first token after a prompt of `read` tokens
    replies   how it goes on from a few prompts
    """

    engine: str
    prompt: float
    read: int
    first: float
    streams: dict[int, float]
    replies: tuple[Reply, ...]

    def said(self) -> str:
        """In words."""
        rates = ", ".join(f"{rate:.0f} at {n}" for n, rate in sorted(self.streams.items(), reverse=True))
        return (
            f"{self.engine}: {rates} streams (tokens/s), {self.first:.2f} s to the first token of {self.read}"
        )


class Result(Struct, frozen=True, kw_only=True):
    """`error` is {"code", "message"}."""

    figures: Figures | None = None
    error: dict[str, str] | None = None


async def measure(generator: Generator, seconds: float, prompts: tuple[str, ...] = PROMPTS) -> Figures:
    """Raises what the generator does."""
    replies = await replies_of(generator, prompts)
    words = Random(0)
    count = await asyncio.to_thread(_fitting, generator)
    tries = [await _read(generator, _prompt(words, count)) for _ in range(_TRIES)]
    first, read = min(tries)
    rates = {n: await _rate(generator, n, words, seconds) for n in STREAMS if n <= generator.abilities.slots}
    return Figures(
        engine=generator.abilities.name,
        prompt=read / first,
        read=read,
        first=first,
        streams=rates,
        replies=replies,
    )


def choose(candidates: list[Figures]) -> tuple[Figures, str]:
    """The fastest by the geometric mean of what all were measured at, and a sentence that says why."""
    if not candidates:
        raise InvalidInput("no engine was measured")
    shared = set.intersection(*(set(one.streams) for one in candidates))
    best = max(candidates, key=lambda one: _mean(one, shared))
    others = [one for one in candidates if one is not best]
    if not others:
        return best, f"{best.engine} is the one engine that could be measured"
    ratios = ", ".join(f"{_mean(best, shared) / _mean(one, shared):.1f} times {one.engine}" for one in others)
    return best, f"{best.engine} was the fastest on this machine: {ratios}"


def _mean(one: Figures, shared: set[int]) -> float:
    product, values = 1.0, [one.prompt, *(one.streams[n] for n in shared)]
    for value in values:
        product *= max(value, 1e-6) ** (1 / len(values))
    return product


def _prompt(words: Random, count: int) -> str:
    """Numbers: no tokenizer keeps them whole for long, and none was read before."""
    return " ".join(str(words.randrange(_WORDS)) for _ in range(count))


def _fitting(generator: Generator) -> int:
    """Words of a prompt of PROMPT tokens, or of half the context where that is less."""
    per_word = max(generator.count(_prompt(Random(1), 64)) / 64, 1.0)
    return max(int(min(PROMPT, generator.abilities.context // 2) / per_word), 1)


async def _read(generator: Generator, prompt: str) -> tuple[float, int]:
    """Seconds to the first token, and tokens of the prompt that were read."""
    began, read = time.perf_counter(), 0
    request = TextRequest(prompt=prompt, sampling=Sampling(max_tokens=1, temperature=0.0, ignore_eos=True))
    async for piece in generator.generate(request):
        read = piece.prompt - piece.cached if piece.prompt else read
    return time.perf_counter() - began, max(read, 1)


async def _rate(generator: Generator, streams: int, words: Random, seconds: float) -> float:
    """Tokens in a second of all streams together, from when each has begun."""
    begun = asyncio.Barrier(streams + 1)
    counting = asyncio.Event()
    count = [0]
    tasks = [
        asyncio.ensure_future(_stream(generator, _prompt(words, 8), begun, (counting, count)))
        for _ in range(streams)
    ]
    try:
        waiting = asyncio.ensure_future(begun.wait())
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        _raise_failures(tasks)
        began = time.perf_counter()
        counting.set()
        await asyncio.wait(tasks, timeout=seconds)
        took = time.perf_counter() - began
        _raise_failures(tasks)
        return count[0] / took
    finally:
        for task in [*tasks, waiting]:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _stream(
    generator: Generator, prompt: str, begun: asyncio.Barrier, counted: tuple[asyncio.Event, list[int]]
) -> None:
    counting, count = counted
    request = TextRequest(prompt=prompt, sampling=Sampling(temperature=0.0, ignore_eos=True))
    first: asyncio.Future[Any] | None = None
    pieces: Any = generator.generate(request)
    async with aclosing(pieces):
        async for piece in pieces:
            if first is None and piece.tokens:
                first = asyncio.ensure_future(begun.wait())
            if counting.is_set():
                count[0] += piece.tokens


def _raise_failures(tasks: Sequence["asyncio.Future[None]"]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _measured(spec: Spec) -> Figures:
    create = cast(CreateGenerator, import_module(GENERATORS[spec.format]).create)
    generator = create(Path(spec.entry), GeneratorOptions())
    try:
        return await measure(generator, spec.seconds, spec.prompts)
    finally:
        await generator.aclose()


def main(argv: list[str]) -> int:
    spec = msgspec.json.decode(Path(argv[0]).read_bytes(), type=Spec)
    try:
        result = Result(figures=asyncio.run(_measured(spec)))
    except ModelyardError as error:
        result = Result(error=error.to_dict())
    Path(spec.result).write_bytes(msgspec.json.encode(result))
    return 0 if result.error is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
