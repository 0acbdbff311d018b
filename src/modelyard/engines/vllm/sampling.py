"""Sampling: what vLLM's /v1/completions is asked, and what its events say."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelyard.errors import Unavailable
from modelyard.types.generation import Constraint, Delta, Finish, Sampling, TokenLogprob

_FINISH: Final[dict[str, Finish]] = {"stop": "stop", "length": "length", "repetition": "stop"}
_LEAST: Final = -9999.0  # vLLM's own for minus infinity, which JSON has not


def body(model: str, prompt: Sequence[int], sampling: Sampling, room: int) -> dict[str, Any]:
    """Of a request that streams. `room`: tokens that the context still holds; without `max_tokens`, vLLM takes 16.

    Names: vllm/entrypoints/openai/completion/protocol.py, CompletionRequest."""
    said: dict[str, Any] = {
        "model": model,
        "prompt": list(prompt),
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "max_tokens": room if sampling.max_tokens is None else min(sampling.max_tokens, room),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "ignore_eos": sampling.ignore_eos,
    }
    if sampling.seed is not None:
        said["seed"] = sampling.seed
    if sampling.stop:
        said["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        said["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    if sampling.logprobs is not None:
        said["logprobs"] = sampling.logprobs
    if sampling.constraint is not None:
        said["structured_outputs"] = _structured(sampling.constraint)
    return said


def _structured(constraint: Constraint) -> dict[str, Any]:
    """vllm/sampling_params.py, StructuredOutputsParams."""
    if constraint.kind == "json_object":
        return {"json_object": True}
    return {"json" if constraint.kind == "json_schema" else "regex": constraint.value}


class Reading:
    """One answer's events as deltas. The piece that ends it waits for the usage, which comes after it and alone
    says how much of the prompt was cached."""

    def __init__(self, top: int | None) -> None:
        self._top = top
        self._tokens = 0
        self._last: Delta | None = None

    def delta(self, event: Mapping[str, Any]) -> Delta | None:
        """None where there is nothing to pass on yet."""
        choices, usage = event["choices"], event.get("usage")
        if not choices:
            return self._ended(usage or {})
        choice = choices[0]
        tokens = usage["completion_tokens"] - self._tokens if usage else 0
        self._tokens += tokens
        piece = Delta(text=choice["text"], tokens=tokens, logprobs=self._logprobs(choice.get("logprobs")))
        if (reason := choice.get("finish_reason")) is None:
            return piece
        if reason not in _FINISH:
            raise Unavailable("vLLM gave an answer up", came=str(reason))
        self._last = Delta(text=piece.text, tokens=tokens, logprobs=piece.logprobs, finish=_FINISH[reason])
        return None

    def _ended(self, usage: Mapping[str, Any]) -> Delta:
        last = self._last
        if last is None:
            raise Unavailable("vLLM ended an answer without a reason")
        details = usage.get("prompt_tokens_details") or {}
        return Delta(
            text=last.text,
            tokens=last.tokens,
            logprobs=last.logprobs,
            finish=last.finish,
            prompt=usage.get("prompt_tokens", 0),
            cached=details.get("cached_tokens") or 0,
        )

    def _logprobs(self, said: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...]:
        """Lists that go together, one entry a token; the one drawn is among the likeliest at its place. A token
        that is a part of a character is told as U+FFFD, also in its bytes: vLLM tells no others here."""
        if said is None or self._top is None:
            return ()
        together = zip(said["tokens"], said["token_logprobs"], said["top_logprobs"], strict=True)
        return tuple(
            TokenLogprob(
                token=token,
                logprob=_LEAST if logprob is None else logprob,
                raw=token.encode(),
                top=_likeliest(top or {}, self._top),
            )
            for token, logprob, top in together
        )


def _likeliest(top: Mapping[str, float], count: int) -> tuple[TokenLogprob, ...]:
    ordered = sorted(top.items(), key=lambda one: -one[1])[:count]
    return tuple(TokenLogprob(token=token, logprob=p, raw=token.encode()) for token, p in ordered)
