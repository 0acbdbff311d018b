"""The API's error: {"error": {"message", "type", "param", "code"}}."""

import re
from typing import Final

import msgspec

from modelyard.dialects.contract import STATUS, Response
from modelyard.errors import ModelyardError

_PARAM: Final = re.compile(r"([a-z_]+(?:\.[a-z_]+|\[[0-9.]*\])*)(?:: | is |; came)")
_FIELDS: Final = frozenset(
    ("model", "messages", "prompt", "input", "temperature", "n", "stop", "seed", "tools", "stream", "logprobs",
     "echo", "suffix", "user", "dimensions", "file", "language", "modalities", "metadata", "instructions",
     "background", "conversation", "text")
)  # fmt: skip
_CODES: Final = {
    "not_found": "model_not_found",
    "budget_spent": "insufficient_quota",
    "busy": "rate_limit_exceeded",
    "unauthorized": "invalid_api_key",
}


def error(status: int, code: str, message: str) -> Response:
    """`param` is the field that the message begins with."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "rate_limit_error"
    if "longer than the model's context" in message:
        code = "context_length_exceeded"
    named = _PARAM.match(message) if status in (400, 422) else None
    if code == "budget_spent":
        kind = "insufficient_quota"
    told = {
        "message": message,
        "type": kind,
        "param": named.group(1) if named and _known(named.group(1)) else None,
        "code": _CODES.get(code, code),
    }
    return Response(status, msgspec.json.encode({"error": told}))


def _known(param: str) -> bool:
    """A message may begin with other words too."""
    return "_" in param or re.split(r"[.\[]", param)[0] in _FIELDS


def failure_event(failure: ModelyardError) -> bytes:
    """An error in a stream that has begun, as its last event."""
    status = STATUS.get(failure.code, 500)
    message = failure.message if status != 500 else "internal error"
    return b"data: %b\n\n" % error(status, failure.code, message).body
