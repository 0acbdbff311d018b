"""Errors as the management API says them: {"error": {"code", "message", "request_id"}} with the code's
status."""

import errno
import logging
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from modelyard.control import mlflow, openai
from modelyard.control.mlflow import errors as mlflow_errors
from modelyard.control.openai import errors as openai_errors
from modelyard.errors import InvalidInput, ModelyardError, Unavailable

_log = logging.getLogger(__name__)

STATUS: Final[dict[str, int]] = {
    "invalid_input": 400,
    "unknown_name": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "conflict": 409,
    "cancelled": 409,
    "lease_lost": 410,
    "too_large": 413,
    "uri_too_long": 414,
    "unsupported_media_type": 415,
    "misdirected": 421,
    "format_not_allowed": 422,
    "corrupt": 422,
    "parity_mismatch": 422,
    "missing_extra": 422,
    "script_failed": 422,
    "busy": 429,
    "headers_too_large": 431,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 400: "invalid_input"}
_RETRY_SECONDS: Final = "1"


def error_body(code: str, message: str, request_id: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message, "request_id": request_id}})


def said(
    path: str, code: str, message: str, request_id: str, error: Exception | None = None
) -> tuple[int, bytes]:
    """Status and body of an error, in the shape that the callers of a path read. `error` may say more."""
    status = STATUS.get(code, 500)
    if openai.speaks(path):
        status = openai_errors.status(code, status)
        return status, openai_errors.body(status, code, message, error)
    if mlflow.speaks(path):
        return mlflow_errors.status(code, status), mlflow_errors.body(code, message, request_id)
    return status, error_body(code, message, request_id)


def error_headers(code: str) -> dict[str, str]:
    """Headers that a status asks for."""
    if code == "unauthorized":
        return {"www-authenticate": "Bearer"}
    return {"retry-after": _RETRY_SECONDS} if code in ("busy", "unavailable") else {}


def install(app: FastAPI) -> None:
    """Turn every exception of a route into an answer."""
    app.add_exception_handler(ModelyardError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    app.add_exception_handler(OSError, _on_os)
    app.add_exception_handler(Exception, _on_bug)


async def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModelyardError)
    return _answer(request, error.code, error.message, error)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, InvalidInput.code, "; ".join(_said(e) for e in error.errors()[:5]))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, InvalidInput.code)
    if code == "not_found" and mlflow.speaks(request.url.path):
        code = mlflow_errors.NO_ENDPOINT
    return _answer(request, code, str(error.detail))


async def _on_database(request: Request, error: Exception) -> Response:
    _log.error("the database failed: %s", error)
    return _answer(request, Unavailable.code, "the database cannot be used now; nothing was changed")


async def _on_os(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
        return await _on_bug(request, error)
    _log.error("%s", error)
    return _answer(
        request, Unavailable.code, "the platform's storage cannot be written now; nothing was changed"
    )


async def _on_bug(request: Request, error: Exception) -> Response:
    _log.error("a request failed inside", exc_info=error)
    return _answer(request, "internal", "the request failed inside; the platform's log says where")


def _answer(request: Request, code: str, message: str, error: Exception | None = None) -> Response:
    status, body = said(request.url.path, code, message, request.state.request_id, error)
    return Response(body, status, error_headers(code), media_type="application/json")


def _said(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}"
