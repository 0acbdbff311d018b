"""Errors as MLflow's clients read them: {"error_code", "message"}."""

from typing import Final

import msgspec

NO_ENDPOINT: Final = "endpoint_not_found"
"""The code of an address that is none."""
_CODES: Final = {
    NO_ENDPOINT: "ENDPOINT_NOT_FOUND",
    "unauthorized": "UNAUTHENTICATED",
    "forbidden": "PERMISSION_DENIED",
    "not_found": "RESOURCE_DOES_NOT_EXIST",
    "conflict": "RESOURCE_ALREADY_EXISTS",
    "method_not_allowed": "ENDPOINT_NOT_FOUND",
    "misdirected": "BAD_REQUEST",
    "timeout": "BAD_REQUEST",
    "busy": "REQUEST_LIMIT_EXCEEDED",
    "unavailable": "TEMPORARILY_UNAVAILABLE",
    "deadline_exceeded": "DEADLINE_EXCEEDED",
    "corrupt": "DATA_LOSS",
    "internal": "INTERNAL_ERROR",
}
"""A code of ours -> MLflow's; everything else is INVALID_PARAMETER_VALUE."""
_STATUS: Final = {"conflict": 400, NO_ENDPOINT: 404}
"""Where MLflow's status is another than ours."""


def body(code: str, message: str, request_id: str) -> bytes:
    said = {"error_code": _CODES.get(code, "INVALID_PARAMETER_VALUE"), "message": message,
            "request_id": request_id}  # fmt: skip
    return msgspec.json.encode(said)


def status(code: str, otherwise: int) -> int:
    return _STATUS.get(code, otherwise)
