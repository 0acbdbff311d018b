"""JSON lines (https://jsonlines.org) that strangers wrote: read one at a time, in bounded memory."""

from collections.abc import Iterator
from typing import BinaryIO, Final, TypeVar

import msgspec

from modelyard.errors import InvalidInput

LINE_BYTES: Final = 16 << 20
T = TypeVar("T")


class BadLine(InvalidInput):
    """`line` counts from 1; `reason` is a code of OpenAI's batches; `field` is what is wrong in the line."""

    def __init__(self, line: int, reason: str, what: str, field: str | None = None) -> None:
        self.line, self.reason, self.field, self.said = line, reason, field, what
        super().__init__(f"line {line}: {what}")


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number. Raises BadLine for one that is too long."""
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise BadLine(number, "line_too_long", f"longer than {LINE_BYTES} bytes")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, as some editors write
        if line.strip():
            yield number, line


def decode(number: int, line: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """Raises BadLine for what is no JSON, or not what it should be."""
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        text = str(error)
        place = text.partition(" - at `$.")[2].rstrip("`") or text.partition("field `")[2].partition("`")[0]
        raise BadLine(number, "invalid_request", text.partition(" - at ")[0], place or None) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(number, "invalid_json_line", f"this is no JSON: {error}") from None
