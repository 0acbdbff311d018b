"""The openvino engine for language models: OpenVINO GenAI's continuous batching (openvino_genai 2026.4).

The pipeline runs in a worker process (`engines.openvino_worker`); here are tokenising, text and the event loop.
Arithmetic is float32 (INFERENCE_PRECISION_HINT): OpenVINO's own choice on processors with bfloat16 is that, and was
no faster with weights of 8 bits. Where activations meet such weights they are quantized to 8 bits in groups of 16,
and keys and values are kept in 8 bits, OpenVINO's default on a CPU. Gemma 3 270M's log probabilities of 80 first
tokens were 0.07 from float32's in the mean, and 0.24 at most.

What GenAI does not give: alternatives to a token (its own log probability alone) and logit_bias. It compiles a
constraint's grammar between two steps of everyone, so that each is tried in a process apart before
(`engines.grammar_trial`). Compiled grammars are kept, some 0.2 MB each, until the replica ends.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.engines.generation import Abilities, GenerationRequest, GeneratorOptions
from modelyard.engines.grammar_trial import GrammarTrial
from modelyard.engines.openvino_answer import Answer
from modelyard.engines.openvino_link import Link
from modelyard.engines.openvino_messages import Open, Start
from modelyard.engines.openvino_size import Size, affordable
from modelyard.engines.prefixes import BLOCK
from modelyard.engines.vocabulary import Vocabulary, open_vocabulary
from modelyard.errors import Corrupt, InvalidInput, Unavailable
from modelyard.types.generation import Constraint, Delta, Sampling, TextRequest

NAME: Final = "openvino"
PRECISION: Final = "f32"
_NEEDED: Final = (
    "config.json",
    "tokenizer.json",
    "openvino_tokenizer.xml",
    "openvino_detokenizer.xml",
    "openvino_model.bin",
)
_CONSTRAINTS: Final = {"json_object": "json_schema", "json_schema": "json_schema", "regex": "regex"}
_ANY_OBJECT: Final = '{"type":"object"}'
_READERS: Final = 2  # threads that tokenise


class OpenVinoGenerator:
    """See `engines.generation.Generator`."""

    def __init__(self, link: Link, vocabulary: Vocabulary, abilities: Abilities, trial: GrammarTrial) -> None:
        self.abilities = abilities
        self._link, self._vocabulary, self._trial = link, vocabulary, trial
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tokenise")
        self._numbers = count(1)
        self._closed = False

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """See `engines.generation.Generator.generate`."""
        if not isinstance(request, TextRequest):
            raise InvalidInput("this model takes text")
        if self._closed:
            raise Unavailable("the engine has ended")
        self._check(request.sampling)
        loop = asyncio.get_running_loop()
        prompt = await loop.run_in_executor(self._readers, self._prompt, request)
        if request.sampling.max_tokens == 0:
            yield Delta(prompt=len(prompt), finish="length")
            return
        constraint = _constrained(request.sampling.constraint)
        if constraint is not None:
            await loop.run_in_executor(None, self._trial.check, *constraint)
        answer = Answer(prompt, request.sampling, self._vocabulary)
        start = Start(
            id=next(self._numbers),
            prompt=prompt,
            config=_config(request.sampling, self.abilities.context - len(prompt)),
            constraint=constraint,
        )
        self._link.begin(start, answer)
        try:
            async with aclosing(answer.stream.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._link.leave(start.id)

    def count(self, text: str) -> int:
        """Tokens of a text, its first one included."""
        return len(self._vocabulary.encode(text, special=False))

    async def aclose(self) -> None:
        """End the worker process."""
        self._closed = True
        self._readers.shutdown(wait=False, cancel_futures=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._link.close)
        await loop.run_in_executor(None, self._trial.close)

    def _prompt(self, request: TextRequest) -> list[int]:
        """Ids. Raises InvalidInput where they and one token of the answer are more than the context."""
        most = self.abilities.context - 1
        if isinstance(request.prompt, str):
            if (fewest := self._vocabulary.fewest(request.prompt)) > most:
                raise _too_long(f"at least {fewest:,}", self.abilities.context)
            ids = self._vocabulary.encode(request.prompt, special=request.special)
        else:
            ids = list(request.prompt)
            if len(ids) <= most:
                self._vocabulary.check(ids)
        if len(ids) > most:
            raise _too_long(f"{len(ids):,}", self.abilities.context)
        if not ids:
            raise InvalidInput("the prompt has no tokens")
        return ids

    def _check(self, sampling: Sampling) -> None:
        if sampling.logit_bias:
            raise InvalidInput(f"the engine {NAME} takes no logit_bias")
        if sampling.logprobs:
            raise InvalidInput(
                f"the engine {NAME} tells no alternatives to a token", came=sampling.logprobs, allowed=0
            )


def create(path: Path, options: GeneratorOptions) -> OpenVinoGenerator:
    """Open the IR at `path` (openvino_model.xml), with its tokenizers and configuration beside it.

    Raises InvalidInput, MissingExtra."""
    folder = path.parent
    for name in (path.name, *_NEEDED):
        if not (folder / name).is_file():
            raise InvalidInput("an OpenVINO language model has a file less than it needs", came=f"no {name}")
    size = affordable(_read_config(folder), options)
    link = Link(_open(folder, size, options))
    try:
        vocabulary = open_vocabulary(folder / "tokenizer.json")  # while the worker opens the model
        link.wait()
    except BaseException:
        link.close()
        raise
    abilities = Abilities(
        name=NAME,
        takes="text",
        slots=size.slots,
        context=size.context,
        top_logprobs=0,
        constraints=("json_object", "json_schema", "regex"),
    )
    return OpenVinoGenerator(link, vocabulary, abilities, GrammarTrial(folder))


def _open(folder: Path, size: Size, options: GeneratorOptions) -> Open:
    blocks = size.slots * (-(-size.context // BLOCK) + 1)
    return Open(
        folder=str(folder.absolute()),
        slots=size.slots,
        blocks=blocks,
        threads=options.threads or 0,
        precision=PRECISION,
    )


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Corrupt.because("config.json", "is no JSON object") from error


def _too_long(came: str, context: int) -> InvalidInput:
    return InvalidInput(
        "the prompt is longer than the model's context",
        came=f"{came} tokens",
        allowed=f"{context:,} tokens, the answer's included",
    )


def _constrained(constraint: Constraint | None) -> tuple[str, str] | None:
    """openvino_genai.StructuredOutputConfig's name, and the text."""
    if constraint is None:
        return None
    if constraint.kind == "json_object":
        return "json_schema", _ANY_OBJECT
    value = constraint.value if constraint.kind == "regex" else json.dumps(constraint.value)
    if not isinstance(value, str):
        raise InvalidInput("a regular expression is a text", came=type(value).__name__)
    return _CONSTRAINTS[constraint.kind], value


def _config(sampling: Sampling, room: int) -> dict[str, bool | int | float]:
    """openvino_genai.GenerationConfig's names; `room` is how many tokens the answer can have."""
    config: dict[str, bool | int | float] = {
        "max_new_tokens": room if sampling.max_tokens is None else min(sampling.max_tokens, room),
        "ignore_eos": sampling.ignore_eos,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "logprobs": 0 if sampling.logprobs is None else 1,
        "apply_chat_template": False,
    }
    if sampling.temperature > 0 and sampling.top_p > 0 and sampling.top_k != 1:
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed % (1 << 32)
        config |= {"do_sample": True, "temperature": sampling.temperature, "rng_seed": seed}
        config |= {"top_p": sampling.top_p, "min_p": sampling.min_p}
        if sampling.top_k:
            config["top_k"] = sampling.top_k
    return config
