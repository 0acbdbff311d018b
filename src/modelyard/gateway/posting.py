"""POST to control: one small JSON body, one small answer, a connection of its own."""

import asyncio
from typing import Final
from urllib.parse import SplitResult

import httptools

_LONGEST: Final = 1 << 20  # bytes of an answer


async def post(url: SplitResult, path: str, token: str, body: bytes, seconds: float) -> tuple[int, bytes]:
    """Status and body of control's answer. Raises OSError (of which TimeoutError is one) where control is away, and
    ValueError for an answer that cannot be read."""
    host, port = url.hostname or "127.0.0.1", url.port or 80
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(_head(url, path, token, len(body)) + body)
            answer = _Answer()
            while not answer.complete:
                answer.feed(await reader.read(1 << 16))
        finally:
            writer.close()
    return answer.status, bytes(answer.body)


def _head(url: SplitResult, path: str, token: str, size: int) -> bytes:
    return (
        f"POST {url.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    ).encode()


class _Answer:
    """As it comes. Raises ValueError where it is none."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.body = bytearray()
        self.complete = False

    def feed(self, data: bytes) -> None:
        if not data:
            raise ValueError("control's answer broke off")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ValueError("control's answer cannot be read") from error

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body
        if len(self.body) > _LONGEST:
            raise ValueError("control's answer is too long")

    def on_message_complete(self) -> None:
        self.complete = True
