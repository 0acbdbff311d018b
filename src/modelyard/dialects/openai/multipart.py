"""Forms with files (multipart/form-data, RFC 7578) that are in memory already, bounded in parts and names."""

import re
from email.message import Message
from typing import Final

from modelyard.errors import InvalidInput

_MOST_PARTS: Final = 64
_MOST_HEAD: Final = 8 << 10
_BOUNDARY: Final = re.compile(rb'boundary=(?:"([^"\r\n]{1,70})"|([^;\s"]{1,70}))', re.IGNORECASE)
_ALLOWED: Final = "multipart/form-data with a boundary"


class Form:
    """Fields by name, each with the values that it was given."""

    def __init__(self, fields: dict[str, list[bytes]]) -> None:
        self._fields = fields

    def text(self, name: str, default: str | None = None) -> str:
        """Raises InvalidInput where it is missing and has no default."""
        values = self.texts(name)
        if values:
            return values[-1]
        if default is None:
            raise InvalidInput(f"{name} is missing", came=sorted(self._fields)[:20])
        return default

    def texts(self, name: str) -> list[str]:
        try:
            return [value.decode() for value in self._fields.get(name, [])]
        except UnicodeDecodeError:
            raise InvalidInput(f"{name}: not UTF-8") from None

    def flag(self, name: str) -> bool:
        text = self.text(name, "false").lower()
        if text not in ("true", "false", "1", "0"):
            raise InvalidInput(f"{name}", came=text[:20], allowed="true, false")
        return text in ("true", "1")

    def number(self, name: str, default: float) -> float:
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e9:
            raise InvalidInput(f"{name}", came=text[:20], allowed="a number")
        return value

    def file(self, name: str) -> bytes:
        values = self._fields.get(name)
        if not values:
            raise InvalidInput(f"{name} is missing", came=sorted(self._fields)[:20])
        if not values[-1]:
            raise InvalidInput(f"{name} is empty")
        return values[-1]


def read_form(body: bytes, content_type: bytes) -> Form:
    """Raises InvalidInput where the body is no such form."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith(b"multipart/form-data") or found is None:
        raise InvalidInput("the body is no form", came=content_type[:100].decode("latin-1"), allowed=_ALLOWED)
    mark = b"--" + (found.group(1) or found.group(2))
    if not body.startswith(mark):
        raise InvalidInput("the form does not begin with its boundary", allowed=_ALLOWED)
    fields: dict[str, list[bytes]] = {}
    place, parts = len(mark), 0
    while body[place : place + 2] == b"\r\n":
        parts += 1
        if parts > _MOST_PARTS:
            raise InvalidInput("the form has too many parts", allowed=_MOST_PARTS)
        end = body.find(b"\r\n" + mark, place)
        if end < 0:
            raise InvalidInput("the form ends in the middle of a part")
        name, value = _part(body[place + 2 : end] if end > place else b"")
        fields.setdefault(name, []).append(value)
        place = end + 2 + len(mark)
    if body[place : place + 2] != b"--":
        raise InvalidInput("the form does not end with its boundary")
    return Form(fields)


def _part(part: bytes) -> tuple[str, bytes]:
    head, blank, value = part[: _MOST_HEAD + 4].partition(b"\r\n\r\n")
    if not blank:
        raise InvalidInput("a part of the form has no headers, or too long ones")
    value = part[len(head) + 4 :]
    for line in head.split(b"\r\n"):
        key, _, rest = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            message = Message()
            message["content-disposition"] = rest.strip().decode("latin-1")
            name = message.get_param("name", header="content-disposition")
            if isinstance(name, str) and 0 < len(name) <= 256:
                return name, value
    raise InvalidInput("a part of the form has no name")
