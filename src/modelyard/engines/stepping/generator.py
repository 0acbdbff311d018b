"""The contract of engines that generate, over the compute thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any

from modelyard.engines.generation import Abilities, GenerationRequest
from modelyard.engines.pieces import TokenBytes
from modelyard.engines.stepping import constraints
from modelyard.engines.stepping.batch import Batch, Branching
from modelyard.engines.stepping.beams import Beaming
from modelyard.engines.stepping.loop import Loop
from modelyard.engines.stepping.sampling import Sampler
from modelyard.engines.stepping.sequence import Asked, Running
from modelyard.engines.streams import Stream
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.generation import MOST_BEAMS, MOST_TOP_LOGPROBS, Delta, Sampling, TextRequest


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What is known of a model that is stepped.

    name        the engine's
    tokenizer   of the tokenizers library
    first       the token that begins a text, where there is one
    ends        those at which the model's answers end
    context     most tokens of a text and its answer together; of a model with an encoder, of the answer
    source      most tokens that its encoder reads; None: it has none, and goes on from the prompt itself
    """

    name: str
    tokenizer: Any
    first: int | None
    ends: Collection[int]
    vocabulary: int
    context: int
    slots: int
    source: int | None = None


class SteppingGenerator:
    """See `engines.generation.Generator`."""

    def __init__(
        self,
        model: Stepped,
        batch: Batch,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.abilities = Abilities(
            name=model.name,
            takes="text",
            slots=model.slots,
            context=model.context,
            top_logprobs=MOST_TOP_LOGPROBS,
            logit_bias=True,
            constraints=("json_object", "json_schema", "regex") if constraints.available() else (),
            beams=MOST_BEAMS if isinstance(batch, Branching) else 1,
        )
        self._model, self._tokenizer = model, model.tokenizer
        self._raw = TokenBytes(self._tokenizer)
        self._longest = max((len(word) for word in self._tokenizer.get_vocab()), default=1)
        self._encoding = threading.Lock()
        self._grammars = constraints.Grammars(self._tokenizer, model.vocabulary, model.ends)
        self._loop = Loop(batch, model.slots, around)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """See `engines.generation.Generator.generate`."""
        if not isinstance(request, TextRequest):
            raise InvalidInput(f"the engine {self._model.name} takes text", came="audio")
        return self._answer(request)

    async def _answer(self, request: TextRequest) -> AsyncIterator[Delta]:
        stream = Stream()
        sequence = await asyncio.to_thread(self._prepared, request, stream)
        if request.sampling.max_tokens == 0:
            yield Delta(prompt=sequence.asked.prompt, finish="length")
            return
        self._loop.add(sequence)
        async with aclosing(stream.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    def count(self, text: str) -> int:
        return len(self._encoded(text, special=False))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._loop.close)

    def _prepared(self, request: TextRequest, stream: Stream) -> Running | Beaming:
        """The request in tokens, checked. For a thread: long texts and constraints take their time."""
        sampling = request.sampling
        self._check(sampling)
        ids = tuple(self._ids(request))
        source: tuple[int, ...] = ()
        if self._model.source is not None:
            ids, source = (() if self._model.first is None else (self._model.first,)), ids
            self._check_fits(len(source), self._model.source)
        self._check_fits(len(ids), self._model.context - 1)
        room = self._model.context - len(ids)
        constraint = sampling.constraint
        asked = Asked(
            ids=ids,
            sampling=sampling,
            room=room if sampling.max_tokens is None else min(room, sampling.max_tokens),
            ends=self._model.ends,
            decode=self._decoded,
            matcher=None if constraint is None else self._grammars.matcher(constraint),
            source=source,
        )
        if sampling.num_beams > 1:
            return Beaming(stream, asked)
        return Running(stream, asked, Sampler(sampling, ids, self._model.vocabulary, self._raw))

    def _check(self, sampling: Sampling) -> None:
        """What the contract's own types do not rule out."""
        most = self._model.vocabulary - 1
        unknown = [token for token in sampling.logit_bias if not 0 <= token <= most]
        if unknown:
            raise InvalidInput(
                "logit_bias names tokens that there are none of", came=unknown[:5], allowed=f"0 to {most}"
            )
        kind = sampling.constraint.kind if sampling.constraint is not None else None
        if kind is not None and kind not in self.abilities.constraints:
            raise MissingExtra("llguidance", "transformers")
        if not 1 <= sampling.num_beams <= self.abilities.beams:
            raise InvalidInput("num_beams", came=sampling.num_beams, allowed=f"1 to {self.abilities.beams}")
        if sampling.num_beams > 1:
            _check_beams(sampling)

    def _check_fits(self, tokens: int, most: int) -> None:
        if tokens > most:
            raise InvalidInput(
                "the prompt is longer than the model's context",
                came=f"{tokens:,} tokens",
                allowed=f"{most:,}",
            )

    def _ids(self, request: TextRequest) -> list[int]:
        if isinstance(request.prompt, str):
            ids = self._encoded(request.prompt, special=request.special)
        else:
            ids = list(request.prompt)
            if not all(0 <= token < self._model.vocabulary for token in ids):
                raise InvalidInput(
                    "the prompt has tokens that there are none of",
                    allowed=f"0 to {self._model.vocabulary - 1}",
                )
        if not ids and self._model.first is not None:
            return [self._model.first]
        if not ids:
            raise InvalidInput("the prompt is empty, and the model has no token that begins a text")
        return ids

    def _encoded(self, text: str, *, special: bool) -> list[int]:
        most = (self._model.source or self._model.context) * self._longest
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


def _check_beams(sampling: Sampling) -> None:
    """Beam search draws nothing: what shapes a draw must not look as if it did something."""
    plain = Sampling()
    names = ["top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"]
    names += ["logit_bias", "logprobs", "ignore_eos", "constraint"]
    said = [name for name in names if getattr(sampling, name) != getattr(plain, name)]
    if sampling.temperature != 0:
        said = ["temperature", *said]
    if said:
        raise InvalidInput("with num_beams nothing is drawn", came=said, allowed="temperature 0 and no more")
