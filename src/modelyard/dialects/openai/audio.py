"""`POST /v1/audio/transcriptions` and `/translations`: speech into text, in every form of answer by engines that
stream, and as text alone by models that answer in batches."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from modelyard.dialects.contract import Address, Array, Call, Request, Response, Served, rows_of
from modelyard.dialects.openai import sse
from modelyard.dialects.openai.multipart import Form, read_form
from modelyard.dialects.openai.shape import failure_event
from modelyard.errors import InvalidInput, ModelyardError, NotFound
from modelyard.types.generation import Abilities, AudioRequest, Delta, Segment, Usage

TASK: Final = "automatic-speech-recognition"
TRANSLATIONS: Final = 5
_BATCHED: Final = ("json", "text")  # forms without times, of which a batch has none
_FORMS: Final = ("json", "text", "srt", "vtt", "verbose_json")
_GRANULARITIES: Final = ("segment", "word")
_LONGEST_PROMPT: Final = 4096
_TYPES: Final = {"text": "text/plain; charset=utf-8", "srt": "application/x-subrip", "vtt": "text/vtt"}


def address(body: bytes, content_type: bytes) -> Address:
    """Of a body on the gateway."""
    form = read_form(body, content_type)
    return Address(
        model=form.text("model"), stream=form.flag("stream"), exact=form.number("temperature", 0.0) == 0
    )


def parse(request: Request, model: Served) -> Call:
    """Of a model that answers in batches: it has no languages, prompts, temperatures or times to choose."""
    if model.task.name != TASK:
        raise NotFound(f"model {model.name!r} writes no speech down; its task is {model.task.name}")
    if request.operation == TRANSLATIONS:
        raise InvalidInput(f"model {model.name!r} does not translate", allowed="/v1/audio/transcriptions")
    form = read_form(bytes(request.body), request.headers.get("content-type", "").encode("latin-1"))
    wanted = form.text("response_format", "json")
    if wanted not in _BATCHED:
        raise InvalidInput(f"response_format of model {model.name!r}", came=wanted[:50], allowed=_BATCHED)
    if form.flag("stream"):
        raise InvalidInput(f"model {model.name!r} answers as a whole", came="stream", allowed="stream: false")
    arrays = model.prepared.decode(model.task.sample(form.file("file")))
    return Call(arrays, rows_of(arrays), wanted)


def render(call: Call, outputs: Mapping[str, Array], model: Served) -> Response:
    (answer,) = model.task.encode(outputs, model.labels, {})
    if call.reply == "text":
        return Response(200, (answer["text"] + "\n").encode(), _TYPES["text"])
    return Response(200, msgspec.json.encode({"text": answer["text"]}))


def converse(request: Request, model: Served, abilities: Abilities) -> "Transcription":
    if abilities.takes != "audio":
        raise InvalidInput(f"model {model.name!r} does not read audio")
    form = read_form(bytes(request.body), request.headers.get("content-type", "").encode("latin-1"))
    wanted = form.text("response_format", "json")
    if wanted not in _FORMS:
        raise InvalidInput("response_format", came=wanted[:50], allowed=_FORMS)
    granularities = form.texts("timestamp_granularities[]") or form.texts("timestamp_granularities")
    for name in granularities:
        if name not in _GRANULARITIES:
            raise InvalidInput("timestamp_granularities", came=name[:50], allowed=_GRANULARITIES)
    if granularities and wanted != "verbose_json":
        raise InvalidInput("timestamp_granularities: only allowed with response_format: verbose_json")
    temperature = form.number("temperature", 0.0)
    if not 0 <= temperature <= 1:
        raise InvalidInput("temperature", came=temperature, allowed="0 to 1")
    language, prompt = form.text("language", ""), form.text("prompt", "")
    if len(prompt) > _LONGEST_PROMPT:
        raise InvalidInput("prompt is too long", came=f"{len(prompt)} characters", allowed=_LONGEST_PROMPT)
    asked = AudioRequest(
        audio=form.file("file"),
        language=language or None,
        prompt=prompt or None,
        temperature=temperature,
        translate=request.operation == TRANSLATIONS,
        words="word" in granularities,
    )
    segments = not granularities or "segment" in granularities
    return Transcription(asked, form, wanted, segments)


class Transcription:
    """See `dialects.contract.Conversation`."""

    content_type = sse.CONTENT_TYPE

    def __init__(self, asked: AudioRequest, form: Form, wanted: str, segments: bool) -> None:
        self.requests: Sequence[AudioRequest] = (asked,)
        self.stream = form.flag("stream")
        self._asked, self._wanted, self._with_segments = asked, wanted, segments
        self._segments: list[Segment] = []
        self._text = ""
        self._language: str | None = None
        self._duration = 0.0

    def piece(self, choice: int, delta: Delta) -> bytes:
        if delta.segment is not None:
            self._segments.append(delta.segment)
        self._text += delta.text
        self._language = delta.language or self._language
        self._duration = delta.duration or self._duration
        if not self.stream or not delta.text:
            return b""
        return sse.event({"type": "transcript.text.delta", "delta": delta.text})

    def close(self, usage: Usage) -> bytes:
        told = {"type": "transcript.text.done", "text": self._text.strip(), "usage": self._usage()}
        return sse.event(told) + sse.DONE

    def whole(self, usage: Usage) -> Response:
        if self._wanted in _TYPES:
            body = {"text": self._plain, "srt": self._srt, "vtt": self._vtt}[self._wanted]()
            return Response(200, body.encode(), _TYPES[self._wanted])
        told: dict[str, Any] = {"text": self._text.strip(), "usage": self._usage()}
        if self._wanted == "verbose_json":
            told |= self._verbose()
        return Response(200, msgspec.json.encode(told))

    def broken(self, error: ModelyardError) -> bytes:
        return failure_event(error)

    def _usage(self) -> dict[str, Any]:
        return {"type": "duration", "seconds": round(self._duration)}

    def _verbose(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "task": "translate" if self._asked.translate else "transcribe",
            "language": self._language or "",
            "duration": self._duration,
        }
        if self._asked.words:
            told["words"] = [msgspec.structs.asdict(w) for s in self._segments for w in s.words]
        if self._with_segments:
            told["segments"] = [_segment(s) for s in self._segments]
        return told

    def _plain(self) -> str:
        return self._text.strip() + "\n"

    def _srt(self) -> str:
        cues = [
            f"{number}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{s.text.strip()}\n"
            for number, s in enumerate(self._segments, 1)
        ]
        return "\n".join(cues) + "\n"

    def _vtt(self) -> str:
        cues = [
            f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{s.text.strip()}\n" for s in self._segments
        ]
        return "WEBVTT\n\n" + "\n".join(cues) + "\n"


def _segment(segment: Segment) -> dict[str, Any]:
    told = msgspec.structs.asdict(segment)
    del told["words"]
    return cast(dict[str, Any], {**told, "seek": int(segment.start * 100), "tokens": list(segment.tokens)})


def _clock(seconds: float, comma: str) -> str:
    """00:00:01,500: hours, minutes, seconds, milliseconds."""
    whole = round(seconds * 1000)
    return (
        f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{comma}{whole % 1000:03}"
    )
