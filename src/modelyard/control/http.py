"""How control speaks HTTP/1.1: uvicorn's protocol, with a deadline for the headers and errors in our shape."""

import asyncio
import sys
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from modelyard.control.answers import error_body
from modelyard.types.ids import new_id

HEADER_SECONDS: Final = 10.0
_REFUSALS: Final = {
    400: (b"Bad Request", "invalid_input", "this is no HTTP/1.1 request"),
    408: (b"Request Timeout", "timeout", f"the headers did not come within {HEADER_SECONDS:g} s"),
    431: (b"Request Header Fields Too Large", "headers_too_large", "the headers are too large"),
}


class Protocol(H11Protocol):
    """A connection whose next request has begun, or whose first one has not, has `HEADER_SECONDS`."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._disarm()
        elif self._deadline is None and not self.transport.is_closing():
            self._arm()

    def send_400_response(self, msg: str) -> None:
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint if hint in _REFUSALS else 400)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.conn.our_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer what never became a request, and close."""
        self._disarm()
        reason, code, message = _REFUSALS[status]
        body = error_body(code, message, new_id("req"))
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = h11.Response(status_code=status, headers=headers, reason=reason)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
