"""What the server says of one object, with a face for a shell."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from modelyard.client.client import Client


class Record:
    """`raw` is the server's JSON, whole; the properties of the kinds name what is used most."""

    shown: ClassVar[tuple[str, ...]] = ()

    def __init__(self, raw: dict[str, Any], client: "Client") -> None:
        self.raw, self._client = raw, client

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        facts = ((name, getattr(self, name)) for name in self.shown)
        said = ", ".join(f"{name}={value!r}" for name, value in facts if value not in (None, {}, [], ()))
        return f"{type(self).__name__}({said})"

    def _repr_html_(self) -> str:
        """For notebooks: the facts as a table, everything escaped."""
        from html import escape

        facts = ((name, getattr(self, name)) for name in self.shown)
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(_said(value))}</td></tr>"
            for name, value in facts
            if value not in (None, {}, [], ())
        )
        return f"<div><b>{type(self).__name__}</b><table>{rows}</table></div>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def when(value: float | str | None) -> str:
    """A server's time (seconds since the epoch, or ISO 8601) as people say it: "3 min ago"."""
    if value is None:
        return ""
    moment = value if isinstance(value, int | float) else datetime.fromisoformat(value).timestamp()
    seconds = max(0, int(time.time() - moment))
    for name, size in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and (name != "day" or seconds < 30 * size):
            count = seconds // size
            return f"{count} {name}{'s' * (name == 'day' and count != 1)} ago"
        if seconds >= size:
            return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
    return f"{seconds} s ago"
