"""What one source has counted, and how much of it control has heard."""

import secrets
from collections.abc import Iterable
from typing import Final

from modelyard.types.generation import Usage
from modelyard.types.usage import FOREVER, UsageReport, UsageRow

MOST_ROWS: Final = 2000
"""In one report: control takes bodies of 1 MiB."""

Key = tuple[str, str, str, int]
"""Tenant, key, model, day."""


class Tally:
    """Totals since it began, a row for each key, model and day. `promised`: days before it change no more."""

    def __init__(self) -> None:
        self.source = f"gw-{secrets.token_hex(8)}"
        self.promised = 0
        self._totals: dict[Key, list[int]] = {}
        self._heard: dict[Key, UsageRow] = {}
        self._changed: set[Key] = set()

    def add(self, key: Key, usage: Usage, requests: int) -> None:
        counts = self._totals.get(key)
        if counts is None:
            counts = self._totals[key] = [0, 0, 0, 0]
        counts[0] += requests
        counts[1] += usage.prompt
        counts[2] += usage.cached
        counts[3] += usage.completion
        self._changed.add(key)

    def rows(self) -> tuple[UsageRow, ...]:
        """Those that control has not heard as they are."""
        return tuple(self._row(key) for key in sorted(self._changed))

    def report(self) -> UsageReport | None:
        """As many of them as go into one; None where there is none."""
        if not self._changed:
            return None
        return UsageReport(source=self.source, rows=self.rows()[:MOST_ROWS])

    def heard(self, rows: Iterable[UsageRow]) -> dict[tuple[str, int], int]:
        """Control has these. Returns the tokens that are new to it, by key and day."""
        new: dict[tuple[str, int], int] = {}
        for row in rows:
            key = row.tenant, row.key, row.model, row.day
            before = self._heard.get(key)
            said = row.key, row.day
            new[said] = new.get(said, 0) + row.tokens - (before.tokens if before is not None else 0)
            self._heard[key] = row
            if key in self._totals and self._row(key) == row:
                self._changed.discard(key)
        return new

    def settle(self, day: int) -> UsageReport | None:
        """The promise that days before this one change no more, where it is true and was not made yet."""
        if day <= self.promised or not self._heard or any(key[3] < day for key in self._changed):
            return None
        return UsageReport(source=self.source, rows=(), settled=day)

    def settled(self, day: int) -> None:
        """Control has the promise: what is before the day need not be remembered."""
        self.promised = day
        self._totals = {key: counts for key, counts in self._totals.items() if key[3] >= day}
        self._heard = {key: row for key, row in self._heard.items() if key[3] >= day}

    def _row(self, key: Key) -> UsageRow:
        tenant, name, model, day = key
        requests, prompt, cached, completion = self._totals[key]
        return UsageRow(
            tenant=tenant,
            key=name,
            model=model,
            day=day,
            requests=requests,
            prompt=prompt,
            cached=cached,
            completion=completion,
        )


class Ended:
    """A source that counts no more: rows of it that control has not heard, then its last promise."""

    def __init__(self, source: str, rows: tuple[UsageRow, ...]) -> None:
        self.source, self.rows = source, rows

    def report(self) -> UsageReport | None:
        return UsageReport(source=self.source, rows=self.rows[:MOST_ROWS]) if self.rows else None

    def heard(self, rows: Iterable[UsageRow]) -> None:
        gone = set(rows)
        self.rows = tuple(row for row in self.rows if row not in gone)

    def settle(self) -> UsageReport | None:
        return None if self.rows else UsageReport(source=self.source, rows=(), settled=FOREVER)
