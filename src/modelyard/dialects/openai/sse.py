"""Pieces of a stream: server-sent events (WHATWG HTML, 9.2) that carry one JSON object each."""

import secrets
import time
from typing import Any, Final

import msgspec

from modelyard.types.generation import TokenLogprob, Usage

CONTENT_TYPE: Final = "text/event-stream; charset=utf-8"
DONE: Final = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % _encode(value)


class Chunks:
    """Events that are alike but for their choice: what they share is encoded once."""

    def __init__(self, kind: str, prefix: str, model: str, fingerprint: str) -> None:
        self.id = f"{prefix}-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.common = {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": model,
            "system_fingerprint": fingerprint,
        }
        self._head = b"data: " + _encode(self.common)[:-1]

    def choice(self, choice: dict[str, Any]) -> bytes:
        return b'%b,"choices":[%b]}\n\n' % (self._head, _encode(choice))

    def usage(self, usage: Usage) -> bytes:
        return b'%b,"choices":[],"usage":%b}\n\n' % (self._head, _encode(told(usage)))


def told(usage: Usage) -> dict[str, Any]:
    """As the API says it."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def logprob(token: TokenLogprob) -> dict[str, Any]:
    """A place of chat's `logprobs.content`."""
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.raw),
        "top_logprobs": [{"token": t.token, "logprob": t.logprob, "bytes": list(t.raw)} for t in token.top],
    }
