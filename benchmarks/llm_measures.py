"""What is measured of servers that stream: speed, first tokens, the gateway's own cost, fairness, hanging up.

Servers are asked in turn, so that a drift of the machine meets all of them alike.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import llm_load
import psutil
from llm_direct import Direct
from llm_load import Ask, Questions, Reading, Shape, Target

_SETTLE = 3.0  # seconds in which streams that begin together drift apart
_PATIENCE = 120.0
_LOOK = 0.005  # seconds between two looks at a replica's counts


async def speed(
    targets: Mapping[str, Target],
    questions: Questions,
    shape: Shape,
    *,
    streams: int,
    waves: int,
    rounds: int,
) -> dict[str, dict[str, Any]]:
    """Tokens a second, in each round and the median; and what a token of one stream took, in milliseconds."""
    found: dict[str, list[list[Reading]]] = {name: [] for name in targets}
    for name in llm_load.turns(list(targets), rounds):
        asked = llm_load.asker(targets[name], questions, shape)
        found[name].append(await llm_load.closed_loop(asked, streams, streams * waves))
    rows = {}
    for name, each in found.items():
        rates = [llm_load.rate(readings) for readings in each]
        readings = [reading for some in each for reading in some]
        rows[name] = {
            "tokens_per_second": statistics.median(rates),
            "rounds": rates,
            "each_ms": 1e3 * statistics.median(r.each for r in readings),
            "first_ms": 1e3 * statistics.median(r.first for r in readings),
            "prompt_tokens": statistics.median(r.prompt for r in readings),
        }
    return rows


async def first_token(
    targets: Mapping[str, Target], questions: Questions, shape: Shape, *, rounds: int
) -> dict[str, dict[str, Any]]:
    """Milliseconds to the first token, one request at a time."""
    found: dict[str, list[Reading]] = {name: [] for name in targets}
    for name in llm_load.turns(list(targets), rounds):
        target = targets[name]
        found[name].append(await llm_load.ask(target, questions.body(target.model, shape)))
    rows = {}
    for name, readings in found.items():
        llm_load.check(readings)
        times = [1e3 * reading.first for reading in readings]
        prompt = statistics.median(r.prompt for r in readings)
        rows[name] = {"first_ms": statistics.median(times), "rounds": times, "prompt_tokens": prompt}
    return rows


async def added(asks: Mapping[str, Ask], *, streams: int, rounds: int) -> dict[str, Any]:
    """What the second way costs more than the first, in milliseconds, at the median; both lead to one replica."""
    found: dict[str, list[Reading]] = {name: [] for name in asks}
    for name in llm_load.turns(list(asks), rounds):
        found[name] += await llm_load.closed_loop(asks[name], streams, streams)
    samples = {
        name: {
            "first_ms": [1e3 * reading.first for reading in readings],
            "each_ms": [1e3 * reading.each for reading in readings],
        }
        for name, readings in found.items()
    }
    one, other = samples.values()
    rows: dict[str, Any] = {
        name: {figure: statistics.median(values) for figure, values in some.items()}
        for name, some in samples.items()
    }
    for figure in one:
        rows[f"added_{figure}"] = statistics.median(other[figure]) - statistics.median(one[figure])
        rows[f"interval_{figure}"] = _interval(one[figure], other[figure])
    return rows | {"answers": len(found[name])}


def _interval(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Of 95 %, for how much larger the median of the other is: by a thousand bootstraps."""
    drawn = random.Random(0)
    found = sorted(
        statistics.median(drawn.choices(other, k=len(other)))
        - statistics.median(drawn.choices(one, k=len(one)))
        for _ in range(1000)
    )
    return [found[25], found[974]]


class Crowd:
    """Streams of one caller that ask again and again until they are sent home. Answers are half to one and a half
    times as long as said: of one length, those that began together would end together, and who has just been
    answered has nothing waiting when all slots come free at once."""

    def __init__(self, target: Target, questions: Questions, shape: Shape, streams: int) -> None:
        self.readings: list[Reading] = []
        self.answered = asyncio.Event()
        self._target, self._questions, self._shape = target, questions, shape
        self._random = random.Random(streams)
        self._tasks = [asyncio.create_task(self._stream()) for _ in range(streams)]

    async def _stream(self) -> None:
        while True:
            answer = self._random.randint(self._shape.answer // 2, self._shape.answer * 3 // 2)
            body = self._questions.body(self._target.model, replace(self._shape, answer=answer))
            await llm_load.ask(self._target, body, kept=self.readings)
            self.answered.set()

    def tokens(self, start: float, stop: float) -> float:
        """Tokens that came in a stretch of time, those of answers that are not whole yet too."""
        return sum(reading.between(start, stop) for reading in self.readings)

    def first_ms(self, start: float) -> float:
        """To the first tokens of requests after `start`; 0 where there were none."""
        firsts = [1e3 * r.first for r in self.readings if r.began >= start and r.marks]
        return statistics.median(firsts) if firsts else 0.0

    async def leave(self) -> None:
        """Hang up. Raises RuntimeError where an answer failed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        llm_load.check([reading for reading in self.readings if reading.ended])


async def fairness(
    small: Target,
    large: Target,
    questions: Questions,
    shape: Shape,
    *,
    streams: Sequence[int],
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    """Tokens a second of a small caller alone, then beside a large one, in turn; `streams` of either.

    The small one's are fewer than the slots, so that half of what they give is no less than half of what it has
    alone, and more than half of the slots, so that it wants its share at all times.
    """
    found: dict[str, list[dict[str, float]]] = {"alone": [], "beside": []}
    callers = {"alone": [(small, streams[0])], "beside": [(large, streams[1]), (small, streams[0])]}
    for name in llm_load.turns(list(found), rounds):
        found[name].append(await _crowds(callers[name], questions, shape, seconds))
    pairs = list(zip(found["alone"], found["beside"], strict=True))
    return {
        "streams": list(streams),
        "rounds": found,
        "kept": statistics.median(beside["rate"] / alone["rate"] for alone, beside in pairs),
        "share": statistics.median(beside["rate"] / beside["all"] for _, beside in pairs),
    }


async def _crowds(
    callers: Sequence[tuple[Target, int]], questions: Questions, shape: Shape, seconds: float
) -> dict[str, float]:
    """Tokens a second of the last of them and of all, once they have settled; and its first tokens."""
    crowds = [Crowd(target, questions, shape, streams) for target, streams in callers]
    await asyncio.sleep(_SETTLE)
    async with asyncio.timeout(_PATIENCE):
        for crowd in crowds:
            await crowd.answered.wait()
    start = time.monotonic()
    await asyncio.sleep(seconds)
    stop = time.monotonic()
    for crowd in crowds:
        await crowd.leave()
    rates = [crowd.tokens(start, stop) / (stop - start) for crowd in crowds]
    return {"rate": rates[-1], "all": sum(rates), "first_ms": crowds[-1].first_ms(start)}


async def cancellation(
    target: Target, direct: Direct, questions: Questions, shape: Shape, *, streams: int
) -> dict[str, Any]:
    """Seconds from hanging up, of every second stream after five tokens, to the end of the replica's work on it:
    a request counts as failed once its engine has let go."""
    before = (await direct.statistics()).failures
    leaving = [streams for streams in range(streams) if streams % 2]
    ended: list[float] = []

    async def look() -> None:
        while len(ended) < len(leaving):
            failures = (await direct.statistics()).failures - before
            ended.extend([time.monotonic()] * (failures - len(ended)))
            await asyncio.sleep(_LOOK)

    async def stream(number: int) -> Reading:
        body = questions.body(target.model, shape)
        return await llm_load.ask(target, body, leave_after=5 if number in leaving else None)

    looking = asyncio.create_task(look())
    readings = await asyncio.gather(*(stream(number) for number in range(streams)))
    llm_load.check(readings)
    await asyncio.wait_for(looking, 30)
    left = sorted(reading.ended for reading in readings if reading.hung_up)
    waits = [stop - gone for gone, stop in zip(left, ended, strict=True)]
    stayed = [reading.tokens for reading in readings if not reading.hung_up]
    return {
        "left": len(left),
        "whole": sum(tokens == shape.answer for tokens in stayed),
        "median_s": statistics.median(waits),
        "longest_s": max(waits),
    }


async def silence(
    target: Target, processes: Sequence[psutil.Process], questions: Questions, shape: Shape, *, streams: int
) -> float:
    """Seconds from when all streams hang up until the engine computes no more: to the end of the last tenth of a
    second in which the replica's processes took a third of a core."""
    crowd = Crowd(target, questions, shape, streams)
    await asyncio.wait_for(crowd.answered.wait(), _PATIENCE)
    await crowd.leave()
    left = last = time.monotonic()
    used = _cpu(processes)
    for _ in range(30):
        await asyncio.sleep(0.1)
        now, before = time.monotonic(), used
        used = _cpu(processes)
        if used - before > 0.033:
            last = now
    return last - left


def _cpu(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(t.user + t.system for t in times))
