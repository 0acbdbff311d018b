"""`POST /v1/completions`: a text, or token ids, to go on from."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from modelyard.dialects.contract import Address, Request, Response, Served
from modelyard.dialects.openai import sse
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
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.types.generation import (
    MOST_CHOICES,
    Abilities,
    Delta,
    Finish,
    TextRequest,
    TokenLogprob,
    Usage,
)

_Ids = Annotated[list[Annotated[int, Meta(ge=0, lt=1 << 31)]], Meta(min_length=1)]
Prompt = str | Annotated[list[str | int | _Ids], Meta(min_length=1, max_length=1 << 20)]


class Body(SamplingFields, frozen=True, kw_only=True):
    """See the API reference, "Create completion"."""

    prompt: Prompt
    max_tokens: Tokens | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    best_of: Annotated[int, Meta(ge=1, le=MOST_CHOICES)] | None = None
    suffix: str | None = None


class _Addressed(msgspec.Struct):
    model: str
    prompt: msgspec.Raw = msgspec.Raw(b"")
    max_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    seed: int | None = None


def address(body: bytes) -> Address:
    """Of a body on the gateway. The API's default is 16 tokens."""
    asked = read(body, _Addressed)
    return Address(
        model=asked.model,
        prompt=bytes(asked.prompt),
        most=16 if asked.max_tokens is None else asked.max_tokens,
        choices=min(max(asked.n or 1, 1), MOST_CHOICES),
        stream=bool(asked.stream),
        exact=asked.temperature == 0 or asked.seed is not None,
    )


def converse(request: Request, model: Served, abilities: Abilities) -> "Completion":
    check_takes_text(model, abilities)
    body = read(request.body, Body)
    if body.suffix:
        raise InvalidInput("suffix: this model does not fill in the middle")
    count = body.n or 1
    if body.best_of is not None and body.best_of != count:
        raise InvalidInput("best_of: choices are not ranked here", came=body.best_of, allowed=f"n, {count}")
    prompts = _prompts(body.prompt)
    if len(prompts) * count > MOST_CHOICES * 4:
        raise InvalidInput(
            "prompt: too many answers at once", came=len(prompts) * count, allowed=MOST_CHOICES * 4
        )
    for prompt in prompts:
        if isinstance(prompt, str):
            check_length(prompt, abilities)
        elif len(prompt) > abilities.context:
            raise InvalidInput(
                "the prompt is longer than the model's context",
                came=f"{len(prompt)} tokens",
                allowed=f"{abilities.context} tokens, the answer's included",
            )
    most = 16 if body.max_tokens is None else body.max_tokens
    given = spread(sampling(body, abilities, most=most, logprobs=body.logprobs), count)
    requests = [TextRequest(prompt=p, sampling=s) for p in prompts for s in given]
    return Completion(body, model, requests)


def _prompts(prompt: Any) -> list[str | tuple[int, ...]]:
    if isinstance(prompt, str):
        return [prompt]
    if all(isinstance(part, int) for part in prompt):
        if any(not 0 <= part < 1 << 31 for part in prompt):
            raise InvalidInput("prompt: a number is no token id", allowed="0, 1, 2, ...")
        return [tuple(prompt)]
    if any(isinstance(part, int) for part in prompt):
        raise InvalidInput("prompt: texts and numbers are mixed", allowed="a text, texts, ids, lists of ids")
    if len(prompt) > MOST_CHOICES * 4:
        raise InvalidInput("prompt: too many texts at once", came=len(prompt), allowed=MOST_CHOICES * 4)
    return [part if isinstance(part, str) else tuple(part) for part in prompt]


class Completion:
    """See `dialects.contract.Conversation`."""

    content_type = sse.CONTENT_TYPE

    def __init__(self, body: Body, model: Served, requests: Sequence[TextRequest]) -> None:
        self.requests = requests
        self.stream = bool(body.stream)
        self._usage = wants_usage(body)
        self._logprobs = body.logprobs is not None
        self._chunks = sse.Chunks("text_completion", "cmpl", model.name, model.version)
        self._texts = [_echoed(r) if body.echo else "" for r in requests]
        self._echo = list(self._texts)
        self._places: list[list[TokenLogprob]] = [[] for _ in requests]
        self._finish: list[Finish | None] = [None] * len(requests)
        self._offsets = [len(text) for text in self._texts]

    def piece(self, choice: int, delta: Delta) -> bytes:
        if delta.finish is not None:
            self._finish[choice] = delta.finish
        if not self.stream:
            self._texts[choice] += delta.text
            self._places[choice] += delta.logprobs
            return b""
        if not (delta.text or delta.finish or delta.logprobs):
            return b""
        text = self._echo[choice] + delta.text
        self._echo[choice] = ""
        return self._chunks.choice(
            {
                "index": choice,
                "text": text,
                "logprobs": self._told(choice, delta.logprobs),
                "finish_reason": delta.finish,
            }
        )

    def close(self, usage: Usage) -> bytes:
        return (self._chunks.usage(usage) if self._usage else b"") + sse.DONE

    def whole(self, usage: Usage) -> Response:
        choices = [
            {
                "index": choice,
                "text": text,
                "logprobs": self._told(choice, self._places[choice]),
                "finish_reason": self._finish[choice],
            }
            for choice, text in enumerate(self._texts)
        ]
        answer = {**self._chunks.common, "choices": choices, "usage": sse.told(usage)}
        return Response(200, msgspec.json.encode(answer))

    def broken(self, error: ModelyardError) -> bytes:
        return failure_event(error)

    def _told(self, choice: int, places: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """The older form of logprobs: lists side by side."""
        if not self._logprobs:
            return None
        offsets = []
        for place in places:
            offsets.append(self._offsets[choice])
            self._offsets[choice] += len(place.token)
        return {
            "tokens": [p.token for p in places],
            "token_logprobs": [p.logprob for p in places],
            "top_logprobs": [{t.token: t.logprob for t in p.top} for p in places],
            "text_offset": offsets,
        }


def _echoed(request: TextRequest) -> str:
    if isinstance(request.prompt, str):
        return request.prompt
    raise InvalidInput("echo: token ids cannot be told as text")
