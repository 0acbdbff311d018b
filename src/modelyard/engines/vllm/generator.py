"""The generator: `engines.generation.Generator` in front of vLLM's server."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Final

from modelyard.engines.generation import Abilities, GenerationRequest, GeneratorOptions
from modelyard.engines.vllm.child import GRACE, Child
from modelyard.engines.vllm.launch import ADAPTER, MODEL, Plan, arguments, read_launch
from modelyard.engines.vllm.sampling import Reading, body
from modelyard.engines.vllm.tokens import Tokens
from modelyard.engines.vllm.wire import post
from modelyard.errors import InvalidInput, MissingExtra, Unavailable
from modelyard.types.generation import MOST_TOP_LOGPROBS, Delta, TextRequest

_EXTRA: Final = "vllm"
_log = logging.getLogger(__name__)
_SHORT: Final = 4096  # characters that are read into tokens on the event loop: some 0.3 ms


class Vllm:
    """See `engines.generation.Generator`. `model`: what its requests name."""

    def __init__(self, child: Child, tokens: Tokens, abilities: Abilities, model: str) -> None:
        self.abilities = abilities
        self._child, self._tokens, self._model = child, tokens, model

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        """See `engines.generation.Generator.generate`."""
        if not isinstance(request, TextRequest):
            raise InvalidInput("this model takes text")
        prompt = await self._ids(request)
        room = self._room(len(prompt))
        reading = Reading(request.sampling.logprobs)
        said = body(self._model, prompt, request.sampling, room)
        async with contextlib.aclosing(post(self._child.socket, self._child.key, said)) as events:
            async for event in events:
                if (delta := reading.delta(event)) is not None:
                    yield delta
                    if delta.finish is not None:
                        return
        raise Unavailable("vLLM ended an answer without a reason")

    def count(self, text: str) -> int:
        """Tokens of a text, the one before it included."""
        return len(self._tokens.ids(text, special=False))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._child.stop)

    async def _ids(self, request: TextRequest) -> Sequence[int]:
        if not isinstance(request.prompt, str):
            return request.prompt
        if len(request.prompt) <= _SHORT:
            return self._tokens.ids(request.prompt, special=request.special)
        return await asyncio.to_thread(self._tokens.ids, request.prompt, special=request.special)

    def _room(self, prompt: int) -> int:
        """Tokens that the context has left for an answer."""
        if prompt == 0:
            raise InvalidInput("the prompt has no token")
        context = self.abilities.context
        if prompt >= context:
            raise InvalidInput("the prompt is longer than the model's context", came=f"{prompt} tokens",
                               allowed=f"{context} tokens, the answer's included")  # fmt: skip
        return context - prompt


def end_replica() -> None:
    """Without its child a replica is of no use: it ends as if it were asked to, and the launcher starts another."""
    _log.error("vLLM ended by itself; its log is above")
    os.kill(os.getpid(), signal.SIGTERM)


def create(
    path: Path,
    options: GeneratorOptions,
    *,
    command: Sequence[str] | None = None,
    grace: float = GRACE,
    ended: Callable[[], None] = end_replica,
) -> Vllm:
    """Start vLLM with what the entry file at `path` says (`launch.Launch`); returns when it serves, which for a
    large model takes minutes. `command`: what is run in the place of `vllm serve`. `ended` is called, in a thread,
    where it ends by itself after that.

    Raises InvalidInput, MissingExtra, and Unavailable where vLLM ends or takes too long."""
    plan = read_launch(path, options)
    tokens = Tokens(plan.model / "tokenizer.json")
    words = _command(plan) if command is None else list(command)
    child = Child()
    try:
        child.start([*words, *arguments(plan, child.socket)], options.threads, grace)
        child.wait_until_healthy(plan.launch.startup_seconds)
    except BaseException:
        child.stop()
        raise
    child.watch(ended)
    return Vllm(child, tokens, _abilities(plan), ADAPTER if plan.adapter else MODEL)


def _command(plan: Plan) -> list[str]:
    needed = ("vllm", "ray") if plan.launch.hosts > 1 else ("vllm",)
    for library in needed:
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, _EXTRA)
    return [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve"]


def _abilities(plan: Plan) -> Abilities:
    return Abilities(
        name="vllm",
        takes="text",
        slots=plan.slots,
        context=plan.context,
        top_logprobs=MOST_TOP_LOGPROBS,
        logit_bias=True,
        constraints=("json_object", "json_schema", "regex"),
    )
