"""What each key has used, by model and day, and the budgets that bound it.

Counts are told to control every second as totals since this process began, so that telling twice changes nothing;
what a crash of this process can lose is what it counted in its last second.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final

from modelyard.errors import BudgetSpent
from modelyard.types.generation import Usage
from modelyard.types.route import KeyGrant
from modelyard.types.usage import UsageReport, UsageRow

_DAY: Final = 86_400
_MOST_KEPT: Final = 100_000

Key = tuple[str, str, str, int]
"""Tenant, key, model, day."""


class Ledger:
    """`now` is the wall clock in seconds: days are UTC's."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.source = f"gw-{secrets.token_hex(8)}"
        self._now = now
        self._totals: dict[Key, UsageRow] = {}
        self._dirty: set[Key] = set()
        self._before: dict[tuple[str, int], int] = {}  # key, day -> used when this process first saw it
        self._own: dict[tuple[str, int], int] = {}
        self._reserved: dict[str, int] = {}

    def reserve(self, grant: KeyGrant, tokens: int) -> "Reservation":
        """Room in the key's budget for what a request may use. Raises BudgetSpent."""
        if grant.budget is not None:
            left = grant.budget - self.used(grant) - self._reserved.get(grant.id, 0)
            if left <= 0 or tokens > left:
                raise BudgetSpent(
                    "the key's budget of tokens for today is spent",
                    came=f"{tokens:,} tokens, of which {max(left, 0):,} are left",
                    allowed=f"{grant.budget:,} a day",
                )
        self._reserved[grant.id] = self._reserved.get(grant.id, 0) + tokens
        return Reservation(self, grant, tokens)

    def release(self, grant: KeyGrant, tokens: int) -> None:
        left = self._reserved.get(grant.id, 0) - tokens
        if left > 0:
            self._reserved[grant.id] = left
        else:
            self._reserved.pop(grant.id, None)

    def used(self, grant: KeyGrant) -> int:
        """Tokens of today. What control knows holds what it was told from here."""
        key = grant.id, self._day()
        before = self._before.setdefault(key, grant.used)
        return max(grant.used, before + self._own.get(key, 0))

    def add(self, grant: KeyGrant, model: str, usage: Usage, *, requests: int = 1) -> None:
        day = self._day()
        key = grant.tenant, grant.id, model, day
        row = self._totals.get(key) or UsageRow(tenant=grant.tenant, key=grant.id, model=model, day=day)
        self._totals[key] = UsageRow(
            tenant=row.tenant,
            key=row.key,
            model=row.model,
            day=row.day,
            requests=row.requests + requests,
            prompt=row.prompt + usage.prompt,
            cached=row.cached + usage.cached,
            completion=row.completion + usage.completion,
        )
        self._dirty.add(key)
        self._before.setdefault((grant.id, day), grant.used)
        self._own[grant.id, day] = self._own.get((grant.id, day), 0) + usage.prompt + usage.completion

    def report(self) -> UsageReport | None:
        """What has changed since `reported` was last called; None where nothing has."""
        if not self._dirty:
            return None
        return UsageReport(source=self.source, rows=tuple(self._totals[key] for key in sorted(self._dirty)))

    def reported(self, report: UsageReport) -> None:
        """Control has it. Days that are over need not be kept."""
        for row in report.rows:
            key = row.tenant, row.key, row.model, row.day
            if self._totals.get(key) == row:
                self._dirty.discard(key)
        today = self._day()
        if len(self._totals) > _MOST_KEPT:
            self._totals = {k: v for k, v in self._totals.items() if k[3] >= today - 1 or k in self._dirty}
        self._before = {k: v for k, v in self._before.items() if k[1] >= today}
        self._own = {k: v for k, v in self._own.items() if k[1] >= today}

    def _day(self) -> int:
        return int(self._now() // _DAY)


class Reservation:
    """Tokens that are held for a request until it has ended."""

    def __init__(self, ledger: Ledger, grant: KeyGrant, tokens: int) -> None:
        self._ledger, self._grant, self._tokens = ledger, grant, tokens

    def settle(self, model: str, usage: Usage) -> None:
        """Once, whatever happened: what was used is counted, and the rest is free again."""
        self._ledger.release(self._grant, self._tokens)
        self._tokens = 0
        self._ledger.add(self._grant, model, usage)
