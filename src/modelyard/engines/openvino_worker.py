"""`python -m modelyard.engines.openvino_worker`: OpenVINO GenAI's continuous batching, in a process of its own.

Its `step()` holds Python's lock for as long as it computes: in a replica's own process no other thread would run,
the event loop among them. One thread does all here: it takes what was asked, steps while there is work, and says
what each step gave. It ends when nobody can ask any more.
"""

import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from modelyard.engines.openvino_messages import (
    Asked,
    Cancel,
    Failed,
    Open,
    Piece,
    Ready,
    Refused,
    Said,
    Start,
    Step,
    Unpacker,
    pack,
    read_some,
    write_whole,
)
from modelyard.engines.prefixes import Prefixes

_BATCHED: Final = 256
"""Most tokens of a step: a prompt that is longer is computed in parts, and others go on between them."""
_GROUP: Final = 16
"""Numbers of an activation with a scale of their own, where it meets weights of 8 bits. OpenVINO's 32 are a fifth
faster and twice as far from float32 at worst; none at all halves the tokens of many streams."""
_FAILURES: Final = 3  # steps that fail one after another: the engine is broken


class Ended(Exception):
    """Nobody asks any more."""


@dataclass(kw_only=True)
class _Sequence:
    handle: Any
    prompt: list[int]
    cached: int
    told: bool = False
    tokens: list[int] = field(default_factory=list)


class Worker:
    """`pipeline` is an openvino_genai.ContinuousBatchingPipeline."""

    def __init__(self, genai: Any, pipeline: Any, blocks: int, out: int) -> None:
        self._genai, self._pipeline, self._out = genai, pipeline, out
        self._prefixes = Prefixes(blocks)
        self._running: dict[int, _Sequence] = {}
        self._failures = 0
        self._finishes = {
            genai.GenerationFinishReason.STOP: "stop",
            genai.GenerationFinishReason.LENGTH: "length",
        }

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def stop(self) -> None:
        """Let go of all that runs."""
        for one in self._running.values():
            one.handle.cancel()
        self._running.clear()
        self._clear()

    def take(self, asked: Asked) -> None:
        if isinstance(asked, Start):
            self._start(asked)
        elif isinstance(asked, Cancel):
            self._cancel(asked.id)

    def step(self) -> None:
        """One, and what it gave. Raises RuntimeError where the engine is broken."""
        try:
            self._pipeline.step()
        except RuntimeError as error:
            self._fail(error)
            return
        self._failures = 0
        pieces = [piece for number, one in list(self._running.items()) if (piece := self._read(number, one))]
        if pieces:
            self.say(Step(pieces=pieces))

    def say(self, said: Said) -> None:
        write_whole(self._out, pack(said))

    def _start(self, asked: Start) -> None:
        import numpy as np
        from openvino import Tensor

        try:
            config = self._genai.GenerationConfig(**asked.config)
            if asked.constraint is not None:
                name, value = asked.constraint
                config.structured_output_config = self._genai.StructuredOutputConfig(**{name: value})
            prompt = Tensor(np.array([asked.prompt], dtype=np.int64))
            cached = self._prefixes.cached(asked.prompt)
            handle = self._pipeline.add_request(asked.id, prompt, config)
        except (RuntimeError, TypeError, ValueError) as error:
            self.say(Refused(id=asked.id, reason=str(error)))
            return
        self._running[asked.id] = _Sequence(handle=handle, prompt=asked.prompt, cached=cached)

    def _cancel(self, number: int) -> None:
        one = self._running.pop(number, None)
        if one is not None:
            one.handle.cancel()
            self._computed(one)
            if not self._running:
                self._clear()

    def _clear(self) -> None:
        """Steps that let cancelled sequences go: there may be no other for long."""
        for _ in range(_FAILURES):
            if not self._pipeline.has_non_finished_requests():
                return
            self._pipeline.step()

    def _read(self, number: int, one: _Sequence) -> Piece | None:
        tokens: list[int] = []
        logprobs: list[float] = []
        finish = ""
        while one.handle.can_read():
            for output in one.handle.read().values():
                tokens += output.generated_ids
                logprobs += output.generated_log_probs
                finish = self._finishes.get(output.finish_reason, finish)
        if tokens and not one.tokens:
            self._prefixes.add(one.prompt)
        one.tokens += tokens
        finish = finish or self._end(one)
        if finish:
            self._computed(one)
            del self._running[number]
        elif not tokens:
            return None
        cached, one.told = -1 if one.told else one.cached, True
        return Piece(number, tokens, logprobs, cached, finish)

    def _end(self, one: _Sequence) -> str:
        """Of a sequence that gave no reason itself."""
        status = one.handle.get_status()
        if status == self._genai.GenerationStatus.RUNNING:
            return ""
        return "stop" if status == self._genai.GenerationStatus.FINISHED else "lost"

    def _computed(self, one: _Sequence) -> None:
        if one.tokens:  # the last one was not fed back
            self._prefixes.add(one.prompt + one.tokens[:-1])

    def _fail(self, error: RuntimeError) -> None:
        """All that ran is lost; what comes next may go better."""
        self._failures += 1
        for one in self._running.values():
            one.handle.cancel()
        self._running.clear()
        self.say(Failed(reason=str(error)))
        if self._failures >= _FAILURES:
            raise error
        self._clear()


def main() -> None:
    """Until its input ends."""
    out = os.dup(1)
    os.dup2(2, 1)  # what the library prints is no message
    asking = _Asking(0)
    opened = next(asking.messages(wait=True))
    try:
        worker = _open(opened, out)
    except (RuntimeError, ImportError) as error:
        write_whole(out, pack(Refused(id=None, reason=str(error))))
        return
    worker.say(Ready())
    try:
        _work(worker, asking)
    except (Ended, BrokenPipeError):
        worker.stop()


def _work(worker: Worker, asking: "_Asking") -> None:
    while True:
        for asked in asking.messages(wait=not worker.busy):
            worker.take(asked)
        if worker.busy:
            worker.step()


class _Asking:
    """What was asked so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unpacker = Unpacker(Asked)

    def messages(self, *, wait: bool) -> Iterator[Any]:
        """Those that are there, after waiting for one or not. Raises Ended."""
        while select.select([self._descriptor], [], [], None if wait else 0)[0]:
            part = read_some(self._descriptor)
            if not part:
                raise Ended
            found = list(self._unpacker.feed(part))
            yield from found
            if found:
                return


def _open(opened: Open, out: int) -> Worker:
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = opened.slots
    scheduler.num_kv_blocks = opened.blocks
    scheduler.max_num_batched_tokens = _BATCHED
    scheduler.enable_prefix_caching = True
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": opened.precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
    }
    if opened.threads:
        properties["INFERENCE_NUM_THREADS"] = opened.threads
    tokenizer = genai.Tokenizer(opened.folder)
    pipeline = genai.ContinuousBatchingPipeline(opened.folder, tokenizer, scheduler, "CPU", **properties)
    return Worker(genai, pipeline, opened.blocks, out)


if __name__ == "__main__":
    try:
        main()
    except Ended:  # before the model was open
        sys.exit(0)
