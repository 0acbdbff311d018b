"""What this process remembers of files that come in parts: who writes one now, and the digest of what is there.

A digest's state cannot be stored. After a restart the bytes that are there are hashed again, once.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelyard.errors import Conflict

_PART: Final = 4 << 20


@dataclass
class Hashed:
    """The digest of a file's first `size` bytes."""

    size: int = 0
    state: Any = field(default_factory=hashlib.sha256)


class Partials:
    """By the ids of upload sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing: set[str] = set()
        self._hashed: dict[str, Hashed] = {}

    @contextmanager
    def writing(self, session: str) -> Iterator[None]:
        """One request at a time. Raises Conflict while another one writes."""
        with self._lock:
            if session in self._writing:
                raise Conflict("another request writes this upload now")
            self._writing.add(session)
        try:
            yield
        finally:
            with self._lock:
                self._writing.discard(session)

    def hashed(self, session: str, path: Path) -> Hashed:
        """The digest of all that the file holds; only its writer asks."""
        found = self._hashed.setdefault(session, Hashed())
        size = path.stat().st_size
        if found.size > size:
            found.size, found.state = 0, hashlib.sha256()
        with path.open("rb") as file:
            file.seek(found.size)
            while part := file.read(_PART):
                found.state.update(part)
                found.size += len(part)
        return found

    def forget(self, session: str) -> None:
        self._hashed.pop(session, None)
