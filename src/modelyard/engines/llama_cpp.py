"""The llama_cpp engine: GGUF files through llama.cpp's own server, inside this process (xllamacpp).

Source: ggml-org/llama.cpp, tools/server/README.md ("/completion", "/v1/completions"). Its scheduler batches slots;
a request is one blocking call in a thread of its own. A loaded model leaks some 62 MB when it is freed, so that a
replica that is to unload one ends.
"""

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psutil

from modelyard.engines.generation import Abilities, GenerationRequest, GeneratorOptions
from modelyard.errors import InvalidInput, MissingExtra, ModelyardError, Unavailable
from modelyard.trust.inspection.gguf import Header, read_header
from modelyard.types.generation import (
    MOST_TOP_LOGPROBS,
    Constraint,
    Delta,
    Finish,
    Sampling,
    TextRequest,
    TokenLogprob,
)

_SLOTS: Final = 16
_CONTEXT: Final = 4096
_BATCH: Final = 256  # tokens of a prompt computed at a time: what a cancelled request still costs
_MEMORY_SHARE: Final = 0.5  # of what is free, that the caches of all slots may take
_KV_BYTES: Final = 2  # float16
_ANY_OBJECT: Final = {"type": "object"}
_FINISH: Final[dict[str, Finish]] = {"stop": "stop", "length": "length"}

_log = logging.getLogger(__name__)

Give = Callable[[Delta | ModelyardError], None]


class LlamaCpp:
    """See `engines.generation.Generator`. `first` is the text of the token that begins a sequence: the server puts
    it before every prompt, so that a prompt which has it loses it."""

    def __init__(self, server: Any, abilities: Abilities, first: str) -> None:
        self.abilities = abilities
        self._server = server
        self._first = first
        self._threads = ThreadPoolExecutor(abilities.slots + 1, thread_name_prefix="llama")
        self._ending: set[threading.Event] = set()

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """See `engines.generation.Generator.generate`."""
        if not isinstance(request, TextRequest):
            raise InvalidInput("this model takes text")
        body = self._body(request)
        loop, given = asyncio.get_running_loop(), asyncio.Queue[Delta | ModelyardError]()
        stop = threading.Event()
        self._ending.add(stop)

        def give(piece: Delta | ModelyardError) -> None:
            loop.call_soon_threadsafe(given.put_nowait, piece)

        work = loop.run_in_executor(self._threads, self._run, body, give, stop)
        try:
            while True:
                piece = await given.get()
                if isinstance(piece, ModelyardError):
                    raise piece
                yield piece
                if piece.finish is not None:
                    return
        finally:
            stop.set()
            self._ending.discard(stop)
            await asyncio.wait([work])

    def count(self, text: str) -> int:
        """Tokens of a text, its first one included."""
        found: list[int] = []

        def answered(event: Mapping[str, Any]) -> bool:
            if usage := event.get("usage"):
                found.append(usage["prompt_tokens"])
            return False

        self._server.handle_completions({"prompt": text, "n_predict": 0, "stream": False}, answered)
        if not found:
            raise InvalidInput("the text is longer than the model's context")
        return found[0]

    async def aclose(self) -> None:
        for stop in self._ending:
            stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, body: dict[str, Any], give: Give, stop: threading.Event) -> None:
        """One request, in a thread."""
        reading = _Reading(give, stop)
        try:
            self._server.handle_completions(body, reading.take)
        except Exception as error:  # of the binding
            _log.error("llama.cpp failed: %r", error)
        if not reading.ended:
            give(Unavailable("the engine broke off"))

    def _body(self, request: TextRequest) -> dict[str, Any]:
        prompt: str | list[int]
        if isinstance(request.prompt, str):
            prompt = request.prompt.removeprefix(self._first) if request.special else request.prompt
        else:
            prompt = list(request.prompt)
        return {"prompt": prompt, "stream": True, "return_progress": True, **_options(request.sampling)}


def create(path: Path, options: GeneratorOptions) -> LlamaCpp:
    """Open a GGUF file. Raises InvalidInput for one that llama.cpp does not take, MissingExtra."""
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("xllamacpp", "llm") from error
    header = read_header(path)
    context = options.context or min(_of(header, "context_length") or _CONTEXT, _CONTEXT)
    slots = options.slots or _affordable(header, context)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = options.threads or max(
        1, cores - 1
    )  # one sequence on all of them is slower: they wait on each other
    together = options.threads or cores  # prompts, and several sequences: there it pays, on busy cores too
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, path, slots, context, (threads, together)))
    except Exception as error:
        raise InvalidInput("llama.cpp does not open this GGUF file", came=type(error).__name__) from error
    abilities = Abilities(
        name="llama_cpp",
        takes="text",
        slots=slots,
        context=context,
        top_logprobs=MOST_TOP_LOGPROBS,
        logit_bias=True,
        constraints=("json_object", "json_schema"),
    )
    return LlamaCpp(server, abilities, header.first)


def _parameters(xllamacpp: Any, path: Path, slots: int, context: int, threads: tuple[int, int]) -> Any:
    given = xllamacpp.CommonParams()
    given.model.path = os.fspath(path)
    given.n_parallel = slots
    given.n_ctx = slots * context  # it is split across the slots
    given.n_batch = given.n_ubatch = _BATCH
    given.cpuparams.n_threads, given.cpuparams_batch.n_threads = threads
    given.endpoint_slots = given.endpoint_props = given.ui = False
    given.use_jinja = False  # templates are rendered apart
    given.cache_ram_mib = 0
    given.verbosity = 1
    return given


def _affordable(header: Header, context: int) -> int:
    """As many slots, a power of two up to 16, as their caches have room in memory."""
    heads = _of(header, "attention.head_count_kv") or _of(header, "attention.head_count") or 1
    width = _of(header, "attention.key_length") or (
        _of(header, "embedding_length") // max(_of(header, "attention.head_count"), 1)
    )
    each = 2 * _KV_BYTES * width * heads * max(_of(header, "block_count"), 1) * context
    room = psutil.virtual_memory().available * _MEMORY_SHARE
    slots = _SLOTS
    while slots > 1 and slots * each > room:
        slots //= 2
    return slots


def _of(header: Header, key: str) -> int:
    """A number of the architecture's own keys; 0 where there is none."""
    value = header.values.get(f"{header.values.get('general.architecture')}.{key}")
    return value if isinstance(value, int) else 0


class _Reading:
    """What llama.cpp says of one request, as deltas. It says a piece a token."""

    def __init__(self, give: Give, stop: threading.Event) -> None:
        self.ended = False
        self._give, self._stop = give, stop
        self._told = False

    def take(self, event: Mapping[str, Any]) -> bool:
        """Whether it is to stop."""
        if self._stop.is_set():
            self.ended = True
            return True
        if (error := event.get("error")) is not None:
            self._end(_error(error))
        elif (progress := event.get("prompt_progress")) is not None:
            self._progress(progress)
        else:
            self._piece(event)
        return self.ended

    def _progress(self, progress: Mapping[str, Any]) -> None:
        if not self._told:
            self._told = True
            self._give(Delta(prompt=int(progress["total"]), cached=int(progress["cache"])))

    def _piece(self, event: Mapping[str, Any]) -> None:
        choice = event["choices"][0]
        reason = choice.get("finish_reason")
        if reason is not None:
            self._end(Delta(text=choice["text"], finish=_FINISH.get(reason, "stop")))
            return
        told = choice.get("logprobs")
        logprobs = tuple(map(_logprob, told["content"])) if told else ()
        self._give(Delta(text=choice["text"], tokens=len(logprobs) or 1, logprobs=logprobs))

    def _end(self, last: Delta | ModelyardError) -> None:
        self.ended = True
        self._give(last)


def _logprob(told: Mapping[str, Any]) -> TokenLogprob:
    return TokenLogprob(
        token=told["token"],
        logprob=max(float(told["logprob"]), -9999.0),  # JSON has no infinity
        raw=bytes(told.get("bytes") or told["token"].encode()),
        top=tuple(map(_logprob, told.get("top_logprobs", ()))),
    )


def _error(error: Mapping[str, Any]) -> ModelyardError:
    if error.get("type") == "exceed_context_size_error":
        return InvalidInput(
            "the prompt is longer than the model's context",
            came=f"{error.get('n_prompt_tokens')} tokens",
            allowed=f"{error.get('n_ctx')} tokens, the answer's included",
        )
    if int(error.get("code", 500)) < 500:
        return InvalidInput("the engine refused the request", came=str(error.get("message"))[:200])
    _log.error("llama.cpp: %s", error)
    return Unavailable("the engine failed")


def _options(sampling: Sampling) -> dict[str, Any]:
    """llama.cpp's names. What is not set is said too: its own defaults are others than the API's."""
    options: dict[str, Any] = {
        "n_predict": 1 << 30 if sampling.max_tokens is None else sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": 1 << 20,
        "seed": secrets.randbits(31) if sampling.seed is None else sampling.seed % 0xFFFFFFFF,
        "stop": list(sampling.stop),
        "ignore_eos": sampling.ignore_eos,
    }
    if sampling.logit_bias:
        options["logit_bias"] = [[token, bias] for token, bias in sampling.logit_bias.items()]
    if sampling.logprobs is not None:
        options["n_probs"] = max(sampling.logprobs, 1)
        options["post_sampling_probs"] = False
    return options | _constrained(sampling.constraint)


def _constrained(constraint: Constraint | None) -> dict[str, Any]:
    if constraint is None:
        return {}
    if constraint.kind == "json_object":
        return {"json_schema": _ANY_OBJECT}
    if constraint.kind == "json_schema":
        return {"json_schema": constraint.value}
    raise InvalidInput("this engine has no regular expressions", allowed="json_object, json_schema")
