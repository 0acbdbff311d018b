"""Parity of engines that generate: golden replies made and replayed, and how fast an engine reads a prompt."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from modelyard.engines.generation import Generator
from modelyard.errors import ModelyardError, ParityMismatch
from modelyard.packages import replies
from modelyard.packages.replies import Reply
from modelyard.types.generation import Delta, Sampling, TextRequest
from modelyard.types.package import Manifest, Replies

PROMPTS: Final = (
    "The capital of France is",
    "It is a truth universally acknowledged, that a single man in possession of a good fortune,",
    "def add(a, b):\n    return",
    "Die Würde des Menschen ist 1, 2, 3,",
)
TOKENS: Final = 8
_WORDS: Final = 200  # of the prompt that is timed


async def replies_of(generator: Generator, prompts: Sequence[str] = PROMPTS) -> tuple[Reply, ...]:
    """How the engine goes on from each prompt, greedily, TOKENS tokens far."""
    found = []
    for prompt in prompts:
        deltas = await _all(generator, _greedy(prompt, logprobs=_logprobs(generator)))
        places = [place for delta in deltas for place in delta.logprobs]
        if places:
            tokens, logprobs = tuple(p.token for p in places), tuple(p.logprob for p in places)
        else:
            tokens, logprobs = tuple(d.text for d in deltas if d.text), ()
        found.append(Reply(prompt=prompt, tokens=tokens, logprobs=logprobs))
    return tuple(found)


async def replay(generator: Generator, folder: Path, manifest: Manifest) -> None:
    """Ask the package's golden prompts again.

    Raises:
        ParityMismatch: another first token than the model's, where that was likely by more than the tolerance, or
            another log probability of it.
        Corrupt: as `packages.replies.read` says.
    """
    golden = manifest.replies
    if isinstance(golden, Replies):
        for expected in replies.read(folder, golden):
            (found,) = await replies_of(generator, (expected.prompt,))
            compare(expected, found, golden.tolerance)


def compare(expected: Reply, found: Reply, tolerance: float) -> None:
    """Raises ParityMismatch for another first token, or a log probability of it that is further away."""
    if not expected.tokens:
        return
    same = bool(found.tokens) and found.tokens[0] == expected.tokens[0]
    if not same:
        raise ParityMismatch(
            f"the engine does not go on as the model did after {expected.prompt[:40]!r}",
            came=repr("".join(found.tokens)[:80]),
            allowed=repr("".join(expected.tokens)[:80]),
        )
    if found.logprobs and expected.logprobs:
        error = abs(found.logprobs[0] - expected.logprobs[0])
        if not error <= tolerance:
            raise ParityMismatch(
                f"the log probability of the first token after {expected.prompt[:40]!r}",
                came=f"{found.logprobs[0]:.4f}",
                allowed=f"{expected.logprobs[0]:.4f} within {tolerance:g}",
            )


async def prefill_rate(generator: Generator) -> float:
    """Tokens of a prompt that the engine reads in a second, alone; 0 where it cannot be measured."""
    words = min(_WORDS, max(generator.abilities.context // 4, 1))
    prompt = " ".join(f"{(number * 7919) % 1000}" for number in range(words))
    started = time.monotonic()
    read = 0
    request = TextRequest(prompt=prompt, sampling=Sampling(max_tokens=1, temperature=0.0))
    try:
        pieces: Any = generator.generate(request)
        async with aclosing(pieces):
            async for delta in pieces:
                read = delta.prompt - delta.cached if delta.prompt else read
    except ModelyardError:
        return 0.0
    return read / max(time.monotonic() - started, 1e-6)


def _greedy(prompt: str, *, logprobs: int | None) -> TextRequest:
    return TextRequest(
        prompt=prompt, sampling=Sampling(max_tokens=TOKENS, temperature=0.0, logprobs=logprobs)
    )


def _logprobs(generator: Generator) -> int | None:
    return None if generator.abilities.top_logprobs is None else 0


async def _all(generator: Generator, request: TextRequest) -> list[Delta]:
    return [delta async for delta in generator.generate(request)]
