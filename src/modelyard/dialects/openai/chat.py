"""`POST /v1/chat/completions`: messages, through the model's own chat template."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from modelyard.dialects.contract import Address, Request, Response, Served
from modelyard.dialects.openai import sse, tools
from modelyard.dialects.openai.fields import (
    SamplingFields,
    Tokens,
    check_length,
    check_takes_text,
    read,
    sampling,
    spread,
    wants_usage,
)
from modelyard.dialects.openai.shape import failure_event
from modelyard.dialects.openai.tools import Tool, ToolChoice, Tools
from modelyard.errors import InvalidInput, ModelyardError, NotFound
from modelyard.types.generation import (
    MOST_CHOICES,
    Abilities,
    Delta,
    Finish,
    TextRequest,
    TokenLogprob,
    Usage,
)

_MOST_MESSAGES: Final = 4096
_TEXTS: Final = ("text", "input_text", "output_text", "refusal")
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Part(Struct, frozen=True, kw_only=True):
    """A part of a content; only texts are taken: nothing is ever fetched from an address."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None


class Body(SamplingFields, frozen=True, kw_only=True):
    """See the API reference, "Create chat completion"."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=_MOST_MESSAGES)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    modalities: list[str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class _Addressed(msgspec.Struct):
    model: str
    messages: msgspec.Raw = msgspec.Raw(b"")
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    seed: int | None = None


def address(body: bytes) -> Address:
    """Of a body on the gateway."""
    asked = read(body, _Addressed)
    return Address(
        model=asked.model,
        prompt=bytes(asked.messages),
        most=asked.max_completion_tokens or asked.max_tokens,
        choices=min(max(asked.n or 1, 1), MOST_CHOICES),
        stream=bool(asked.stream),
        exact=asked.temperature == 0 or asked.seed is not None,
    )


def converse(request: Request, model: Served, abilities: Abilities) -> "ChatCompletion":
    check_takes_text(model, abilities)
    body = read(request.body, Body)
    if model.chat is None:
        raise NotFound(f"model {model.name!r} does not chat")
    if body.modalities not in (None, ["text"]):
        raise InvalidInput("modalities: this model answers in text", allowed=["text"])
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidInput("top_logprobs: only allowed with logprobs: true")
    plan = tools.plan(body.tools, body.tool_choice)
    prompt = _rendered(body, plan, model)
    check_length(prompt, abilities)
    most = body.max_completion_tokens or body.max_tokens
    given = sampling(body, abilities, most=most, logprobs=(body.top_logprobs or 0) if body.logprobs else None)
    if plan.constraint is not None:
        if plan.constraint.kind not in abilities.constraints:
            raise InvalidInput(f"tool_choice: the engine {abilities.name} cannot be made to call a tool")
        given = msgspec.structs.replace(given, constraint=plan.constraint)
    given = msgspec.structs.replace(given, stop=(*given.stop, *model.chat.stops))
    requests = [TextRequest(prompt=prompt, sampling=s, special=True) for s in spread(given, body.n or 1)]
    return ChatCompletion(body, model, requests, plan)


def _rendered(body: Body, plan: Tools, model: Served) -> str:
    assert model.chat is not None
    messages = [_plain(m, number) for number, m in enumerate(body.messages)]
    return model.chat.render(
        messages, tools=plan.shown, add_generation_prompt=True, **(body.chat_template_kwargs or {})
    )


def _plain(message: Message, number: int) -> dict[str, Any]:
    """A message as templates know it: content is a text, arguments of calls are values."""
    plain: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role}
    plain["content"] = text_of(message.content, f"messages[{number}].content")
    if message.tool_calls:
        plain["tool_calls"] = [tools.called(call, number) for call in message.tool_calls]
    for name in ("name", "tool_call_id"):
        if (value := getattr(message, name)) is not None:
            plain[name] = value
    return plain


def text_of(content: str | list[Part] | None, where: str) -> str:
    """Raises InvalidInput for parts that are no texts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    for part in content:
        if part.type not in _TEXTS:
            raise InvalidInput(f"{where}: this model reads text alone", came=part.type[:50], allowed=["text"])
    return "".join(part.text or part.refusal or "" for part in content)


class ChatCompletion:
    """See `dialects.contract.Conversation`."""

    content_type = sse.CONTENT_TYPE

    def __init__(self, body: Body, model: Served, requests: Sequence[TextRequest], plan: Tools) -> None:
        self.requests = requests
        self.stream = bool(body.stream)
        self._usage = wants_usage(body)
        self._logprobs = bool(body.logprobs)
        self._chunks = sse.Chunks("chat.completion.chunk", "chatcmpl", model.name, model.version)
        self._readers = [tools.reader(plan) for _ in requests]
        self._begun = [False] * len(requests)
        plain = model.chat is not None and bool(model.chat.stops)
        self._spaced = [plain] * len(requests)
        self._texts = [""] * len(requests)
        self._places: list[list[TokenLogprob]] = [[] for _ in requests]
        self._finish: list[Finish | None] = [None] * len(requests)

    def piece(self, choice: int, delta: Delta) -> bytes:
        reader = self._readers[choice]
        given = self._trimmed(choice, delta.text)
        text = given if reader is None else reader.take(given, last=delta.finish is not None)
        if not self.stream:
            self._texts[choice] += text
            self._places[choice] += delta.logprobs
            self._finish[choice] = delta.finish or self._finish[choice]
            return b""
        sent = b""
        if not self._begun[choice]:
            self._begun[choice] = True
            sent = self._chunk(choice, {"role": "assistant", "content": ""}, (), None)
        if text or (delta.logprobs and reader is None):
            sent += self._chunk(choice, {"content": text}, delta.logprobs, None)
        if delta.finish is not None:
            sent += self._end(choice, delta.finish)
        return sent

    def _trimmed(self, choice: int, text: str) -> str:
        """Without the space that stands between a plain template's "assistant:" and the answer."""
        if self._spaced[choice]:
            text = text.lstrip(" ")
            self._spaced[choice] = not text
        return text

    def close(self, usage: Usage) -> bytes:
        return (self._chunks.usage(usage) if self._usage else b"") + sse.DONE

    def whole(self, usage: Usage) -> Response:
        answer = {
            **self._chunks.common,
            "object": "chat.completion",
            "choices": [self._choice(choice) for choice in range(len(self.requests))],
            "usage": sse.told(usage),
        }
        return Response(200, msgspec.json.encode(answer))

    def broken(self, error: ModelyardError) -> bytes:
        return failure_event(error)

    def _chunk(
        self, choice: int, delta: Mapping[str, Any], places: Sequence[TokenLogprob], finish: str | None
    ) -> bytes:
        told = {"content": [sse.logprob(p) for p in places]} if self._logprobs and places else None
        return self._chunks.choice(
            {"index": choice, "delta": delta, "logprobs": told, "finish_reason": finish}
        )

    def _end(self, choice: int, finish: Finish) -> bytes:
        calls = self._calls(choice)
        if not calls:
            return self._chunk(choice, {}, (), finish)
        numbered = [{"index": number, **call} for number, call in enumerate(calls)]
        return self._chunk(choice, {"tool_calls": numbered}, (), None) + self._chunk(
            choice, {}, (), "tool_calls"
        )

    def _calls(self, choice: int) -> list[dict[str, Any]]:
        reader = self._readers[choice]
        return [] if reader is None else reader.calls

    def _choice(self, choice: int) -> dict[str, Any]:
        calls, text = self._calls(choice), self._texts[choice]
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message |= {"content": text or None, "tool_calls": calls}
        places = self._places[choice]
        told = {"content": [sse.logprob(p) for p in places]} if self._logprobs else None
        finish = "tool_calls" if calls else self._finish[choice]
        return {"index": choice, "message": message, "logprobs": told, "finish_reason": finish}
