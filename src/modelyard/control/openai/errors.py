"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}."""

from typing import Final

import msgspec

from modelyard.errors import InvalidInput, NotFound

_STATUS: Final = {"conflict": 400}
"""Where the status is another than ours: the stock client sends what was answered 409 again."""


class BadParameter(InvalidInput):
    """`param` names the parameter; `reason` is a code of the API's own, where it has one."""

    def __init__(self, param: str, what: str, *, came: object = None, allowed: object = None,
                 reason: str | None = None) -> None:  # fmt: skip
        super().__init__(what, came=came, allowed=allowed)
        self.param, self.reason = param, reason


class NoSuch(NotFound):
    """An id that is nobody's, or another tenant's; `param` is where it stood."""

    def __init__(self, kind: str, found: str, param: str) -> None:
        super().__init__(f"No such {kind} object: {found[:100]}")
        self.param = param


def body(status: int, code: str, message: str, error: Exception | None = None) -> bytes:
    """`error` may say more: its `param`, its `reason`."""
    said = {
        "message": message,
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": getattr(error, "param", None),
        "code": getattr(error, "reason", None) or code,
    }
    return msgspec.json.encode({"error": said})


def status(code: str, otherwise: int) -> int:
    return _STATUS.get(code, otherwise)
