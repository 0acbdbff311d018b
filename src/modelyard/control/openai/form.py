"""A multipart form (RFC 7578) as it streams: small fields in memory, its one file straight to disk."""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from modelyard.control.openai.errors import BadParameter
from modelyard.errors import InvalidInput, TooLarge, UnsupportedMedia
from modelyard.store.blobs import BlobWriter

_MOST_FIELDS: Final = 16
_FIELD_BYTES: Final = 1 << 10
_NAME_BYTES: Final = 100
_BOUNDARY_BYTES: Final = 200  # RFC 2046 allows 70
_HEADERS: Final = 8
_HEADER_BYTES: Final = 4 << 10

Begin = Callable[[str, dict[str, str]], BlobWriter]
"""The file's name and the fields that came before it -> where its bytes go."""


def boundary_of(content_type: str) -> bytes:
    """Raises UnsupportedMedia for what is no form, InvalidInput for one without a boundary."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMedia("content type", came=content_type, allowed="multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _BOUNDARY_BYTES:
        raise InvalidInput("the form's Content-Type names no boundary that can be used")
    return boundary


class Form:
    """A context that takes the body piece by piece; what was written of a file goes when it ends.

    `fields` are all small fields by their names, `filename` and `file` what came as `file_field`.
    """

    def __init__(self, boundary: bytes, file_field: str, begin: Begin) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.file: BlobWriter | None = None
        self._file_field, self._begin = file_field, begin
        self._files = ExitStack()
        self._ended = False
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._name = ""
        self._text: bytearray | None = None  # of the small field that is being read
        callbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(
            boundary, callbacks, max_header_count=_HEADERS, max_header_size=_HEADER_BYTES  # type: ignore[arg-type]
        )  # fmt: skip

    def __enter__(self) -> "Form":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._files.close()

    def write(self, chunk: bytes) -> None:
        """Raises InvalidInput for what is no form, and what `begin` and the file's writer do."""
        if self._ended or not chunk:
            return  # what stands after the last boundary is to be passed over (RFC 2046, 5.1.1)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidInput(f"the body is not the form that it should be: {error}") from None

    def finish(self) -> None:
        """Raises InvalidInput where the form's end did not come."""
        if not self._ended:
            raise InvalidInput("the form has no end: its last boundary did not come")

    def _on_part_begin(self) -> None:
        self._disposition, self._name, self._text = b"", "", None
        self._header.clear()
        self._value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"")[: _NAME_BYTES + 1].decode("utf-8", "replace")
        if not 0 < len(self._name) <= _NAME_BYTES:
            raise InvalidInput("a field of the form has no name that can be used")
        if self._name in self.fields or (self._name == self._file_field and self.file is not None):
            raise BadParameter(self._name, "a field comes twice", came=self._name)
        if self._name == self._file_field:
            self._open(options.get(b"filename"))
        else:
            self._text = bytearray()

    def _open(self, filename: bytes | None) -> None:
        if filename is None:
            raise BadParameter(self._file_field, "the file needs a file name", came="a plain field")
        self.filename = filename.decode("utf-8", "replace")
        self.file = self._files.enter_context(self._begin(self.filename, self.fields))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._text is None:
            if self.file is not None:
                self.file.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _FIELD_BYTES:
            raise TooLarge(f"the field {self._name!r} of the form", allowed=f"{_FIELD_BYTES} bytes")

    def _on_part_end(self) -> None:
        if self._text is None:
            return
        if len(self.fields) >= _MOST_FIELDS:
            raise InvalidInput("the form has too many fields", allowed=_MOST_FIELDS)
        try:
            self.fields[self._name] = self._text.decode()
        except UnicodeDecodeError:
            raise BadParameter(self._name, f"the field {self._name!r} is no text in UTF-8") from None

    def _on_end(self) -> None:
        self._ended = True
