"""What the launcher is to run, put together from all loops, and what it runs."""

import threading
from collections.abc import Iterable

from modelyard.cluster.connection import Connection
from modelyard.types.process import ProcessSpec, ProcessStatus, Table


class Processes:
    """Each of `groups` is one loop's. Nothing is applied before all of them have spoken: what is not named is
    stopped, and a control that has just started would stop everything."""

    def __init__(self, connection: Connection, groups: Iterable[str]) -> None:
        self._connection = connection
        self._wanted: dict[str, tuple[ProcessSpec, ...] | None] = dict.fromkeys(groups)
        self._applied: tuple[tuple[ProcessSpec, ...], int] | None = None
        self._lock = threading.Lock()
        self._launcher_pid = 0

    def table(self) -> dict[str, ProcessStatus]:
        """What runs now, by id. Raises Unavailable."""
        return self._read(self._connection.table())

    def want(self, group: str, specs: Iterable[ProcessSpec]) -> bool:
        """Say what a loop wants; returns whether the launcher knows. Raises Unavailable."""
        with self._lock:
            self._wanted[group] = tuple(specs)
            whole: list[ProcessSpec] = []
            for wanted in self._wanted.values():
                if wanted is None:
                    return False
                whole += wanted
            if self._applied != (tuple(whole), self._launcher_pid):
                self._read(self._connection.apply(tuple(whole)))
                self._applied = tuple(whole), self._launcher_pid
            return True

    def _read(self, table: Table) -> dict[str, ProcessStatus]:
        self._launcher_pid = table.launcher_pid
        return {p.id: p for p in table.processes}
