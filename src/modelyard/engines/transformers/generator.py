"""The contract of engines that generate, over the compute thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from modelyard.engines.generation import Abilities, GenerationRequest, GeneratorOptions
from modelyard.engines.pieces import TokenBytes
from modelyard.engines.streams import Stream
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.generation import MOST_TOP_LOGPROBS, Delta, Sampling, TextRequest


class TransformersGenerator:
    """See `engines.generation.Generator`."""

    def __init__(self, opened: Any, batch: Any, threads: int) -> None:
        from modelyard.engines.transformers import constraints
        from modelyard.engines.transformers.loop import Loop

        self.abilities = Abilities(
            name="transformers",
            takes="text",
            slots=opened.slots,
            context=opened.context,
            top_logprobs=MOST_TOP_LOGPROBS,
            logit_bias=True,
            constraints=("json_object", "json_schema", "regex") if constraints.available() else (),
        )
        self._opened, self._tokenizer = opened, opened.tokenizer
        self._raw = TokenBytes(self._tokenizer)
        self._longest = max((len(word) for word in self._tokenizer.get_vocab()), default=1)
        self._encoding = threading.Lock()
        self._grammars = constraints.Grammars(self._tokenizer, opened.vocabulary, opened.ends)
        self._loop = Loop(batch, opened.slots, threads)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """See `engines.generation.Generator.generate`."""
        if not isinstance(request, TextRequest):
            raise InvalidInput("the engine transformers takes text", came="audio")
        return self._answer(request)

    async def _answer(self, request: TextRequest) -> AsyncIterator[Delta]:
        stream = Stream()
        running = await asyncio.to_thread(self._prepared, request, stream)
        if request.sampling.max_tokens == 0:
            yield Delta(prompt=len(running.asked.ids), finish="length")
            return
        self._loop.add(running)
        async with aclosing(stream.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    def count(self, text: str) -> int:
        return len(self._encoded(text, special=False))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._loop.close)

    def _prepared(self, request: TextRequest, stream: Stream) -> Any:
        """The request in tokens, checked. For a thread: long texts and constraints take their time."""
        from modelyard.engines.transformers.sampling import Sampler
        from modelyard.engines.transformers.sequence import Asked, Running

        sampling = request.sampling
        self._check(sampling)
        ids = self._ids(request)
        room = self._opened.context - len(ids)
        if room < 1:
            raise InvalidInput(
                "the prompt is longer than the model's context", came=f"{len(ids):,} tokens",
                allowed=f"{self._opened.context - 1:,}",
            )  # fmt: skip
        constraint = sampling.constraint
        asked = Asked(
            ids=tuple(ids),
            sampling=sampling,
            room=room if sampling.max_tokens is None else min(room, sampling.max_tokens),
            ends=self._opened.ends,
            decode=self._decoded,
            matcher=None if constraint is None else self._grammars.matcher(constraint),
        )
        return Running(stream, asked, Sampler(sampling, ids, self._opened.vocabulary, self._raw))

    def _check(self, sampling: Sampling) -> None:
        """What the contract's own types do not rule out."""
        unknown = [token for token in sampling.logit_bias if not 0 <= token < self._opened.vocabulary]
        if unknown:
            raise InvalidInput(
                "logit_bias names tokens that there are none of", came=unknown[:5],
                allowed=f"0 to {self._opened.vocabulary - 1}",
            )  # fmt: skip
        kind = sampling.constraint.kind if sampling.constraint is not None else None
        if kind is not None and kind not in self.abilities.constraints:
            raise MissingExtra("llguidance", "transformers")

    def _ids(self, request: TextRequest) -> list[int]:
        if isinstance(request.prompt, str):
            ids = self._encoded(request.prompt, special=request.special)
        else:
            ids = list(request.prompt)
            if not all(0 <= token < self._opened.vocabulary for token in ids):
                raise InvalidInput(
                    "the prompt has tokens that there are none of",
                    allowed=f"0 to {self._opened.vocabulary - 1}",
                )
        if not ids and self._opened.first is not None:
            return [self._opened.first]
        if not ids:
            raise InvalidInput("the prompt is empty, and the model has no token that begins a text")
        return ids

    def _encoded(self, text: str, *, special: bool) -> list[int]:
        most = self._opened.context * self._longest
        if len(text) > most:
            raise InvalidInput(
                "the prompt is longer than the model's context", came=f"{len(text):,} characters",
                allowed=f"{most:,}",
            )  # fmt: skip
        with self._encoding:  # the switch is the tokenizer's, for all threads
            self._tokenizer.encode_special_tokens = not special
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=not special).ids
        return ids

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def create(path: Path, options: GeneratorOptions) -> TransformersGenerator:
    """Open the Hugging Face folder whose config.json is at `path`. Raises InvalidInput, MissingExtra."""
    from modelyard.engines.transformers import loading

    opened = loading.open_folder(path.parent, options)
    from modelyard.engines.transformers.batch import open_batch

    return TransformersGenerator(
        opened, open_batch(opened.model), options.threads or max(1, loading.cores() - 1)
    )
