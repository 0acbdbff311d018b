"""Rolling: replicas whose start has changed are started anew one after the other, so that their version goes on
answering."""

from collections.abc import Collection, Mapping
from typing import Final

from modelyard.types.process import ProcessSpec

LEAVING: Final = 2.0  # seconds from a route's last word of a replica to its SIGTERM

Key = tuple[str, str]
"""A version behind a deployment."""


class Rolling:
    """Which start each replica has now. `before`: what the launcher ran when this control began."""

    def __init__(self, before: Mapping[str, ProcessSpec]) -> None:
        self.current = dict(before)
        self._leaving: dict[str, float] = {}

    @property
    def leaving(self) -> Collection[str]:
        """Replicas that are about to be started anew: nothing is to be sent to them any more."""
        return self._leaving.keys()

    def roll(
        self,
        wanted: Mapping[str, ProcessSpec],
        keys: Mapping[str, Key],
        answering: Collection[str],
        now: float,
    ) -> dict[str, ProcessSpec]:
        """The start that each wanted replica is to have now. `answering`: those that do, by their present start.

        A changed one waits until all others of its version answer; one that is alone, or does not answer, changes
        at once. `now` is monotonic, in seconds.
        """
        self._leaving = {name: until for name, until in self._leaving.items() if name in wanted}
        groups: dict[Key, list[str]] = {}
        for name in wanted:
            groups.setdefault(keys[name], []).append(name)
        self.current = {
            name: spec
            for names in groups.values()
            for name, spec in self._group(names, wanted, answering, now).items()
        }
        return self.current

    def _group(
        self, names: list[str], wanted: Mapping[str, ProcessSpec], answering: Collection[str], now: float
    ) -> dict[str, ProcessSpec]:
        found = {name: self.current.get(name, wanted[name]) for name in names}
        stale = [name for name in names if found[name] != wanted[name]]
        for name in names if not stale else ():
            self._leaving.pop(name, None)  # what was to change was taken back
        due = [n for n in stale if len(names) == 1 or n not in answering or self._leaving.get(n, now) < now]
        for name in due:
            self._leaving.pop(name, None)
            found[name] = wanted[name]
        going = [n for n in names if n in self._leaving or n in due or n not in answering]
        if stale and not going:
            self._leaving[stale[0]] = now + LEAVING
        return found
