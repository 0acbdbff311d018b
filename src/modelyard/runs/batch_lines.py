"""The lines of a batch's input file (https://platform.openai.com/docs/guides/batch).

{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "...", ...}}
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec
from msgspec import Raw, Struct

from modelyard.runs.json_lines import BadLine, decode, read_lines

ENDPOINTS: Final = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
INPUT: Final = "input.jsonl"
"""The file's name among the sources of a batch's run."""
FILE_BYTES: Final = 200 << 20
MOST_LINES: Final = 50_000
_LONGEST_ID: Final = 512
_MOST_ERRORS: Final = 100


class Line(Struct, frozen=True, kw_only=True):
    """One request; `body` is the JSON as it stands in the file."""

    custom_id: str
    method: str
    url: str
    body: Raw


class _Body(Struct, frozen=True, kw_only=True):
    model: str
    stream: bool | None = False


_lines = msgspec.json.Decoder(Line)
_bodies = msgspec.json.Decoder(_Body)


class Checker:
    """Looks at the lines of one file in their order. `endpoint` None: any of ENDPOINTS."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.count = 0
        self._allowed = ENDPOINTS if endpoint is None else (endpoint,)
        self._seen: dict[str, int] = {}

    def check(self, number: int, raw: bytes) -> Line:
        """Raises BadLine."""
        self.count += 1
        if self.count > MOST_LINES:
            raise BadLine(number, "too_many_requests", f"a batch has at most {MOST_LINES} requests")
        line = decode(number, raw, _lines)
        if not 0 < len(line.custom_id) <= _LONGEST_ID:
            raise BadLine(
                number, "invalid_custom_id", f"custom_id must have 1 to {_LONGEST_ID} characters", "custom_id"
            )
        if (before := self._seen.setdefault(line.custom_id, number)) != number:
            said = f"custom_id {line.custom_id[:100]!r} stands on line {before} already"
            raise BadLine(number, "duplicate_custom_id", said, "custom_id")
        if line.method != "POST":
            raise BadLine(number, "invalid_method", "method must be POST", "method")
        if line.url not in self._allowed:
            said = f"url is {line.url[:100]!r}; allowed here: {', '.join(self._allowed)}"
            raise BadLine(number, "invalid_url", said, "url")
        _check_body(number, line.body)
        return line


def check_file(file: BinaryIO) -> int:
    """How many requests there are. Raises BadLine for the first line that is wrong."""
    checker = Checker()
    for number, raw in read_lines(file):
        checker.check(number, raw)
    if checker.count == 0:
        raise BadLine(1, "empty_file", "the file holds no request")
    return checker.count


def find_errors(file: BinaryIO, endpoint: str) -> tuple[int, list[BadLine]]:
    """How many lines there are, and what is wrong with some of them: the first hundred errors."""
    checker, errors = Checker(endpoint), list[BadLine]()
    try:
        for number, raw in read_lines(file):
            try:
                checker.check(number, raw)
            except BadLine as error:
                errors.append(error)
            if len(errors) >= _MOST_ERRORS or checker.count > MOST_LINES:
                break
    except BadLine as error:
        errors.append(error)
    if checker.count == 0 and not errors:
        errors.append(BadLine(1, "empty_file", "the file holds no request"))
    return checker.count, errors


def read_file(file: BinaryIO) -> Iterator[Line]:
    """The requests of a file that was found good."""
    for number, raw in read_lines(file):
        yield decode(number, raw, _lines)


def _check_body(number: int, raw: Raw) -> None:
    try:
        body = _bodies.decode(raw)
    except msgspec.ValidationError as error:
        raise BadLine(number, "invalid_body", f"body: {error}", "body") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(number, "invalid_json_line", f"body is no JSON: {error}", "body") from None
    if not body.model:
        raise BadLine(number, "missing_model", "body.model must name a model", "body.model")
    if body.stream:
        raise BadLine(
            number, "invalid_body", "body.stream: the answers of a batch are not streamed", "body.stream"
        )
