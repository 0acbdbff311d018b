"""The whisper engine: speech into text by faster-whisper on CTranslate2 (Radford et al. 2022, arXiv:2212.04356).

A piece of the answer is a segment, as the model's own timestamps cut it. Compute is int8 on the CPU: on the clips
of `benchmarks/speech.py` it hears the same words as float32 in less time. What cannot be cut short is one window of
30 s of sound: a request that was left ends after the window that is being computed.

Usage, where OpenAI counts none: `prompt` is the audio's seconds, rounded up; `tokens` are the segments' own.
"""

import logging
import math
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.engines import whisper_model
from modelyard.engines.generation import Abilities, GenerationRequest, GeneratorOptions
from modelyard.engines.streams import Stream
from modelyard.errors import Cancelled, InvalidInput, ModelyardError, Unavailable
from modelyard.tasks import sounds
from modelyard.types.generation import AudioRequest, Delta, Segment, Word

COMPUTE: Final = "int8"
_MOST_THREADS: Final = 4
_FALLBACK: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures that are tried in turn where 0 was asked for: OpenAI's rule, section 4.5 of the paper."""
_SILENCE: Final = 32
"""Samples (int16) that are no louder, -60 dB, are silence: the model hears a "You" in it."""
_NEEDED: Final = ("config.json", "tokenizer.json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Job:
    request: AudioRequest
    stream: Stream


class WhisperGenerator:
    """See `engines.generation.Generator`. A slot is a thread of its own with one request."""

    def __init__(self, model: Any, slots: int) -> None:
        self.abilities = Abilities(name="whisper", takes="audio", slots=slots)
        self._model = model
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="whisper")
        self._streams: set[Stream] = set()

    def generate(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        """A piece a segment, then one with the end. Raises, before the first, InvalidInput (no sound that can be
        read, a language that the model does not know) and TooLarge."""
        if not isinstance(request, AudioRequest):
            raise InvalidInput("the engine whisper takes audio", came="text")
        return self._answer(request)

    async def _answer(self, request: AudioRequest) -> AsyncIterator[Delta]:
        self._check(request)
        stream = Stream()
        self._streams.add(stream)
        waiting = self._pool.submit(self._work, _Job(request=request, stream=stream))
        try:
            async with aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            waiting.cancel()
            self._streams.discard(stream)

    def count(self, text: str) -> int:
        return len(self._model.hf_tokenizer.encode(text, add_special_tokens=False).ids)

    async def aclose(self) -> None:
        for stream in list(self._streams):
            stream.put(Unavailable("the engine is stopping"))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, request: AudioRequest) -> None:
        known = self._model.supported_languages
        if request.language is not None and request.language not in known:
            raise InvalidInput("the model does not know this language", came=request.language, allowed=known)
        if not math.isfinite(request.temperature) or request.temperature < 0:
            raise InvalidInput(
                "the temperature is out of range", came=request.temperature, allowed="0 or more"
            )

    def _work(self, job: _Job) -> None:
        """In a thread of the pool."""
        try:
            for piece in self._pieces(job):
                job.stream.put(piece)
        except ModelyardError as error:
            job.stream.put(error)
        except Exception as error:  # CTranslate2's have no common base
            _log.exception("whisper broke")
            broken = Unavailable("the engine whisper broke on this audio")
            broken.__cause__ = error
            job.stream.put(broken)

    def _pieces(self, job: _Job) -> Iterator[Delta]:
        def check() -> None:
            if job.stream.ended:
                raise Cancelled("nobody waits for the text")

        samples = sounds.decode(job.request.audio, check=check)
        seconds = len(samples) / sounds.RATE
        # What is not told before the first window of sound is computed is told with it.
        count, prompt = 0, math.ceil(seconds)
        self._model.before_window(check)
        segments, info = self._model.transcribe(samples, **_settings(job.request))
        for found in segments:
            check()
            if not _is_speech(found, samples):
                continue
            yield Delta(
                text=found.text,
                tokens=len(found.tokens),
                segment=_segment(count, found),
                prompt=0 if count else prompt,
            )
            count += 1
        yield Delta(finish="stop", language=info.language, duration=seconds, prompt=0 if count else prompt)


def create(path: Path, options: GeneratorOptions) -> WhisperGenerator:
    """Open the CTranslate2 model whose model.bin is at `path`. Raises InvalidInput, MissingExtra."""
    return open_whisper(path, options, COMPUTE)


def open_whisper(path: Path, options: GeneratorOptions, compute: str) -> WhisperGenerator:
    """The same with a compute type of CTranslate2's, as "float32"."""
    missing = [name for name in _NEEDED if not (path.parent / name).is_file()]
    if missing:
        # Without the tokenizer the library would fetch one from the network.
        raise InvalidInput("the Whisper model is not whole", came=f"no {', '.join(missing)}", allowed=_NEEDED)
    slots = options.slots or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = options.threads or max(1, min(_MOST_THREADS, cores // 2 // slots))
    model_class = whisper_model.model_class()
    try:
        model = model_class(
            str(path.parent), device="cpu", compute_type=compute, cpu_threads=threads, num_workers=slots,
            local_files_only=True,
        )  # fmt: skip
    except (
        Exception
    ) as error:  # CTranslate2's and tokenizers' have no common base, and their texts hold paths
        _log.warning("whisper: %s", error)
        raise InvalidInput("this is no Whisper model that CTranslate2 can open") from error
    return WhisperGenerator(model, slots)


def _settings(request: AudioRequest) -> dict[str, Any]:
    return {
        "language": request.language,
        "task": "translate" if request.translate else "transcribe",
        "temperature": list(_FALLBACK) if request.temperature == 0 else request.temperature,
        "initial_prompt": request.prompt or None,
        "word_timestamps": request.words,
        "vad_filter": False,
    }


def _is_speech(found: Any, samples: sounds.Samples) -> bool:
    """Whether there is sound where the model hears a word: of silence it makes up some, and of noise dots."""
    if not any(character.isalnum() for character in found.text):
        return False
    stretch = samples[int(found.start * sounds.RATE) : math.ceil(found.end * sounds.RATE)]
    return len(stretch) > 0 and int(np.abs(stretch.astype(np.int32)).max()) > _SILENCE


def _segment(number: int, found: Any) -> Segment:
    return Segment(
        id=number,
        start=float(found.start),
        end=float(found.end),
        text=found.text,
        tokens=tuple(found.tokens),
        temperature=float(found.temperature or 0.0),
        avg_logprob=float(found.avg_logprob),
        compression_ratio=float(found.compression_ratio),
        no_speech_prob=float(found.no_speech_prob),
        words=tuple(Word(word=w.word, start=float(w.start), end=float(w.end)) for w in found.words or ()),
    )
