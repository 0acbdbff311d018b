"""Hugging Face's words for models that generate: text-generation and automatic-speech-recognition, as
huggingface_hub's `InferenceClient.text_generation` and `.automatic_speech_recognition` speak them.

Source: https://huggingface.co/docs/api-inference/tasks/text-generation (the form of text-generation-inference).
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from modelyard.dialects.contract import Address, Request, Response, Served
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.types.generation import (
    MOST_STOPS,
    Abilities,
    AudioRequest,
    Delta,
    Finish,
    Sampling,
    Segment,
    TextRequest,
    TokenLogprob,
    Usage,
)

TASKS: Final = ("text-generation", "automatic-speech-recognition")
"""Of which there are words of their own here."""
_REASONS: Final = {"stop": "eos_token", "length": "length"}
_DEFAULT_TOKENS: Final = 100  # as text-generation-inference's


class _TextParameters(Struct, frozen=True, kw_only=True):
    max_new_tokens: Annotated[int, Meta(ge=1, le=1 << 30)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1 << 20)] | None = None
    seed: int | None = None
    stop: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=MOST_STOPS)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=MOST_STOPS)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    do_sample: bool | None = None
    return_full_text: bool | None = None
    details: bool | None = None


class _TextBody(Struct, frozen=True, kw_only=True):
    inputs: str
    parameters: _TextParameters | None = None
    stream: bool | None = None


class _SpeechParameters(Struct, frozen=True, kw_only=True):
    return_timestamps: bool | str | None = None
    generation_parameters: dict[str, Any] | None = None
    language: str | None = None


class _SpeechBody(Struct, frozen=True, kw_only=True):
    inputs: str
    parameters: _SpeechParameters | None = None


class _Addressed(Struct):
    inputs: msgspec.Raw = msgspec.Raw(b"")
    stream: bool | None = None


def address(model: str, body: bytes) -> Address:
    """Of a body on the gateway; audio has no prompt."""
    try:
        asked = msgspec.json.decode(body, type=_Addressed) if body[:1] == b"{" else _Addressed()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        asked = _Addressed()  # the replica says what is wrong
    return Address(model=model, prompt=bytes(asked.inputs), most=None, stream=bool(asked.stream))


def converse(request: Request, model: Served, abilities: Abilities) -> "TextAnswer | SpeechAnswer":
    """Raises InvalidInput."""
    if abilities.takes == "audio":
        return SpeechAnswer(*_audio(request))
    body: _TextBody = _decode(request.body, _TextBody)
    given = body.parameters or _TextParameters()
    return TextAnswer(TextRequest(prompt=body.inputs, sampling=_sampling(given, abilities)), body)


def _decode(body: memoryview, struct: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=struct)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("the body is not a request", came=str(error)[:200]) from None


def _sampling(given: _TextParameters, abilities: Abilities) -> Sampling:
    most = given.max_new_tokens or min(_DEFAULT_TOKENS, abilities.context or _DEFAULT_TOKENS)
    if most > abilities.context > 0:
        raise InvalidInput(
            "max_new_tokens is more than the model's context", came=most, allowed=abilities.context
        )
    sampled = given.do_sample if given.do_sample is not None else given.temperature not in (None, 0)
    return Sampling(
        max_tokens=most,
        temperature=(given.temperature or 1.0) if sampled else 0.0,
        top_p=given.top_p or 1.0,
        top_k=given.top_k or 0,
        seed=given.seed,
        stop=tuple(given.stop or given.stop_sequences or ()),
        repetition_penalty=given.repetition_penalty or 1.0,
        frequency_penalty=given.frequency_penalty or 0.0,
        logprobs=0 if given.details and abilities.top_logprobs is not None else None,
    )


class TextAnswer:
    """See `dialects.contract.Conversation`."""

    content_type = "text/event-stream"

    def __init__(self, asked: TextRequest, body: _TextBody) -> None:
        self.requests = (asked,)
        self.stream = bool(body.stream)
        given = body.parameters or _TextParameters()
        self._prompt = body.inputs if given.return_full_text else ""
        self._details = bool(given.details)
        self._text = ""
        self._places: list[TokenLogprob] = []
        self._finish: Finish = "stop"
        self._held: Delta | None = None

    def piece(self, choice: int, delta: Delta) -> bytes:
        self._text += delta.text
        self._places += delta.logprobs
        self._finish = delta.finish or self._finish
        if not self.stream or not delta.text:
            return b""
        before, self._held = self._held, delta  # the last one also tells the whole text
        return b"" if before is None else self._event(before, None)

    def close(self, usage: Usage) -> bytes:
        details = {"finish_reason": _REASONS[self._reason()], "generated_tokens": usage.completion}
        last = self._held or Delta()
        told = {**self._token(last), "generated_text": self._prompt + self._text, "details": details}
        return b"data:" + msgspec.json.encode(told) + b"\n\n"

    def whole(self, usage: Usage) -> Response:
        told: dict[str, Any] = {"generated_text": self._prompt + self._text}
        if self._details:
            tokens = [
                {"id": 0, "text": p.token, "logprob": p.logprob, "special": False} for p in self._places
            ]
            told["details"] = {
                "finish_reason": _REASONS[self._reason()],
                "generated_tokens": usage.completion,
                "prefill": [],
                "tokens": tokens,
            }
        return Response(200, msgspec.json.encode([told]))

    def broken(self, error: ModelyardError) -> bytes:
        return b"data:" + msgspec.json.encode({"error": error.message, "error_type": error.code}) + b"\n\n"

    def _reason(self) -> str:
        return self._finish if self._finish in _REASONS else "stop"

    def _event(self, delta: Delta, text: str | None) -> bytes:
        told = {**self._token(delta), "generated_text": text, "details": None}
        return b"data:" + msgspec.json.encode(told) + b"\n\n"

    def _token(self, delta: Delta) -> dict[str, Any]:
        logprob = delta.logprobs[0].logprob if delta.logprobs else 0.0
        return {"index": 0, "token": {"id": 0, "text": delta.text, "logprob": logprob, "special": False}}


def _audio(request: Request) -> tuple[AudioRequest, bool]:
    """Raw bytes, or base64 in `inputs`; and whether times are wanted."""
    if bytes(request.body[:1]) != b"{":
        if not len(request.body):
            raise InvalidInput("there is no audio")
        return AudioRequest(audio=bytes(request.body)), False
    body: _SpeechBody = _decode(request.body, _SpeechBody)
    given = body.parameters or _SpeechParameters()
    try:
        audio = base64.b64decode(body.inputs, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("inputs is not base64 of an audio file") from None
    language = given.language or (given.generation_parameters or {}).get("language")
    words = given.return_timestamps == "word"
    asked = AudioRequest(audio=audio, language=language if isinstance(language, str) else None, words=words)
    return asked, bool(given.return_timestamps)


class SpeechAnswer:
    """See `dialects.contract.Conversation`. Never a stream."""

    content_type = "application/json"
    stream = False

    def __init__(self, asked: AudioRequest, times: bool) -> None:
        self.requests: Sequence[AudioRequest] = (asked,)
        self._times = times
        self._text = ""
        self._segments: list[Segment] = []

    def piece(self, choice: int, delta: Delta) -> bytes:
        self._text += delta.text
        if delta.segment is not None:
            self._segments.append(delta.segment)
        return b""

    def close(self, usage: Usage) -> bytes:
        return b""

    def whole(self, usage: Usage) -> Response:
        told: dict[str, Any] = {"text": self._text.strip()}
        if self._times:
            spoken: list[tuple[str, float, float]] = [(s.text, s.start, s.end) for s in self._segments]
            if self.requests[0].words:
                spoken = [(w.word, w.start, w.end) for s in self._segments for w in s.words]
            told["chunks"] = [{"text": text, "timestamp": [start, end]} for text, start, end in spoken]
        return Response(200, msgspec.json.encode(told))

    def broken(self, error: ModelyardError) -> bytes:
        return b""
