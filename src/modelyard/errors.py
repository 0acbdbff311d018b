"""The error tree.

    ModelyardError
    ├── InvalidInput          what a user gave cannot be used        (400)
    │   ├── UnknownName       a key or name that is not known; names the nearest
    │   ├── TooLarge          past a limit                           (413)
    │   └── UnsupportedMedia  a content type or encoding not taken   (415)
    ├── NotAllowedFormat      a file format that is refused          (422)
    ├── Unauthorized          no key, or one that is not good        (401)
    ├── Forbidden             a good key without this right          (403)
    ├── NotFound              no such object for this tenant         (404)
    ├── Conflict              against what is already there          (409)
    ├── Corrupt               bytes do not match their digest        (422)
    ├── ParityMismatch        an engine's answers differ             (422)
    ├── Busy                  a bounded queue or quota is full       (429)
    │   └── BudgetSpent       a key has used what it may today       (429)
    ├── Unavailable           nothing serves this now                (503)
    ├── DeadlineExceeded      the deadline passed                    (504)
    ├── MissingExtra          a library is not installed             (422)
    ├── ScriptFailed          a user's script did not end well       (422)
    ├── LeaseLost             an attempt that is no longer the run's (410)
    └── Cancelled             a run was cancelled by its owner       (409)

Each class keeps its facts and builds its message: what, what came, what is allowed. Only the edges (control's
routes, the dialects, the command line) turn a code into a status. No message carries a path of the server or a
traceback to a client.
"""

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class ModelyardError(Exception):
    """Any error that a user is meant to read. `code` is stable; `came` and `allowed` are text, or None."""

    code: ClassVar[str] = "internal"

    def __init__(self, what: str, *, came: object = None, allowed: object = None) -> None:
        self.what = what
        self.came = None if came is None else _short(came)
        self.allowed = None if allowed is None else _listed(allowed)
        super().__init__(self.message)

    @property
    def message(self) -> str:
        text = self.what
        if self.came is not None:
            text += f"; came: {self.came}"
        if self.allowed is not None:
            text += f"; allowed: {self.allowed}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """The form in which errors cross processes: {"code", "message"}."""
        return {"code": self.code, "message": self.message}


class InvalidInput(ModelyardError):
    code = "invalid_input"


class UnknownName(InvalidInput):
    """`what` names the kind of name, as "recipe key"; the message names the nearest known one."""

    code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        place = f" in {where}" if where else ""
        hint = f"; did you mean {near[0]!r}?" if near else ""
        self.kind, self.name, self.known = kind, name, known
        super().__init__(f"unknown {kind} {name[:80]!r}{place}{hint}", allowed=known)


class TooLarge(InvalidInput):
    code = "too_large"


class UnsupportedMedia(InvalidInput):
    code = "unsupported_media_type"


class NotAllowedFormat(ModelyardError):
    code = "format_not_allowed"


class Unauthorized(ModelyardError):
    code = "unauthorized"


class Forbidden(ModelyardError):
    code = "forbidden"


class NotFound(ModelyardError):
    code = "not_found"


class Conflict(ModelyardError):
    code = "conflict"


class Corrupt(ModelyardError):
    """Bytes that do not match their digest. `file` is the file's name inside its package or data set."""

    code = "corrupt"

    def __init__(self, file: str, *, expected: str, found: str) -> None:
        self.file = file
        super().__init__(
            f"file {file!r} does not match its digest", came=f"sha256 {found}", allowed=f"sha256 {expected}"
        )

    @classmethod
    def because(cls, file: str, problem: str, *, came: object = None, allowed: object = None) -> "Corrupt":
        """For a file that is wrong in another way than its digest, as missing or not listed."""
        error = cls.__new__(cls)
        error.file = file
        ModelyardError.__init__(error, f"file {_short(file)!r} {problem}", came=came, allowed=allowed)
        return error


class ParityMismatch(ModelyardError):
    code = "parity_mismatch"


class Busy(ModelyardError):
    code = "busy"


class BudgetSpent(Busy):
    code = "budget_spent"


class Unavailable(ModelyardError):
    code = "unavailable"


class DeadlineExceeded(ModelyardError):
    code = "deadline_exceeded"


class ScriptFailed(ModelyardError):
    code = "script_failed"


class LeaseLost(ModelyardError):
    code = "lease_lost"


class Cancelled(ModelyardError):
    code = "cancelled"


class MissingExtra(ModelyardError):
    """A library that an extra brings is not installed."""

    code = "missing_extra"

    def __init__(self, library: str, extra: str) -> None:
        self.library, self.extra = library, extra
        super().__init__(f"{library} is not installed; install it with: pip install 'modelyard[{extra}]'")


def _subclasses(cls: type[ModelyardError]) -> list[type[ModelyardError]]:
    return [cls, *(s for c in cls.__subclasses__() for s in _subclasses(c))]


def from_dict(data: dict[str, Any]) -> ModelyardError:
    """The inverse of `ModelyardError.to_dict`; an unknown code becomes a plain ModelyardError."""
    code, message = str(data.get("code", "internal")), str(data.get("message", "unknown error"))
    for cls in _subclasses(ModelyardError):
        if cls.code == code:
            error = cls.__new__(cls)
            ModelyardError.__init__(error, message)
            return error
    return ModelyardError(message)


def _short(value: object, limit: int = 200) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _listed(allowed: object) -> str:
    if isinstance(allowed, str):
        return allowed
    if isinstance(allowed, Iterable):
        return ", ".join(str(a) for a in allowed)
    return str(allowed)
