"""What each key has used, by model and day, and the budgets that bound it.

Counts are told to control every second (gateway.reporting) as totals since this process began, so that telling
twice changes nothing. What control has not heard, and what keys with a budget have used today, is kept on disk too:
what a crash of this process can lose is what it counted in its last second.
"""

import time
from collections.abc import Callable

from msgspec import Struct

from modelyard.errors import BudgetSpent
from modelyard.gateway.tally import Ended, Tally
from modelyard.types.generation import Usage
from modelyard.types.route import KeyGrant
from modelyard.types.usage import DAY_SECONDS, UsageHeard, UsageReport, day_of


class Kept(Struct, frozen=True, kw_only=True):
    """What the next process of this gateway needs to know: what control has not heard, source by source, and the
    tokens that keys with a budget have used on `day`, by whomever they were counted."""

    sources: tuple[UsageReport, ...]
    day: int
    used: dict[str, int]


class Spent(BudgetSpent):
    """There is no room in a key's budget for a request. `retry_after` in seconds: at the next midnight (UTC), where
    it is not held for other requests alone."""

    def __init__(self, *, came: object, allowed: object, retry_after: int) -> None:
        super().__init__("the key's budget of tokens for today is spent", came=came, allowed=allowed)
        self.retry_after = retry_after


class Ledger:
    """`now` is the wall clock in seconds: days are UTC's."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._tally = Tally()
        self._ended: list[Ended] = []
        self._own: dict[tuple[str, int], int] = {}  # key, day -> tokens that the tally counts
        self._told: dict[tuple[str, int], int] = {}  # those of them that control has
        self._others: dict[tuple[str, int], int] = {}  # what control has from elsewhere, as far as is known
        self._bounded: set[str] = set()
        self._reserved: dict[str, int] = {}
        self._today = 0

    def reserve(self, grant: KeyGrant, tokens: int) -> "Reservation":
        """Room in the key's budget for what a request may use. Raises Spent."""
        if grant.budget is not None:
            self._bounded.add(grant.id)
            left = grant.budget - self.used(grant) - self.reserved(grant)
            if left <= 0 or tokens > left:
                raise Spent(
                    came=f"a request of up to {tokens:,} tokens, with {max(left, 0):,} left",
                    allowed=f"{grant.budget:,} a day",
                    retry_after=self._pause(left + self.reserved(grant), tokens),
                )
        self._reserved[grant.id] = self._reserved.get(grant.id, 0) + tokens
        return Reservation(self, grant, tokens)

    def release(self, grant: KeyGrant, tokens: int) -> None:
        left = self._reserved.get(grant.id, 0) - tokens
        if left > 0:
            self._reserved[grant.id] = left
        else:
            self._reserved.pop(grant.id, None)

    def reserved(self, grant: KeyGrant) -> int:
        return self._reserved.get(grant.id, 0)

    def used(self, grant: KeyGrant) -> int:
        """Tokens of today. What control says may hold what it was told from here, and may be of yesterday."""
        key = grant.id, day_of(self._now())
        own = self._own.get(key, 0)
        if grant.day == key[1]:
            self._learn(key, grant.used - own)
        return self._others.get(key, 0) + own

    def add(self, grant: KeyGrant, model: str, usage: Usage, *, requests: int = 1) -> None:
        day = day_of(self._now())
        if day < self._tally.promised:  # the clock went back: another source may say what this one may not
            self._begin_anew()
        self._tally.add((grant.tenant, grant.id, model, day), usage, requests)
        key = grant.id, day
        self._own[key] = self._own.get(key, 0) + usage.prompt + usage.completion

    def report(self) -> UsageReport | None:
        """What has changed since `reported` was last called; None where nothing has."""
        sources: tuple[Ended | Tally, ...] = (*self._ended, self._tally)
        waiting = (source.report() for source in sources)
        return next((report for report in waiting if report is not None), None)

    def reported(self, report: UsageReport, heard: UsageHeard) -> None:
        """Control has it."""
        if report.source != self._tally.source:
            for source in self._ended:
                if source.source == report.source:
                    source.heard(report.rows)
        else:
            for key, tokens in self._tally.heard(report.rows).items():
                self._told[key] = self._told.get(key, 0) + tokens
        for name, used in heard.used.items():
            key = name, heard.day
            self._learn(key, used - self._told.get(key, 0))
        self._forget(day_of(self._now()))

    def promises(self) -> list[UsageReport]:
        """What control may be told for good, once `kept` is on disk: what is there must not be said again later."""
        ended = [promise for source in self._ended if (promise := source.settle()) is not None]
        own = self._tally.settle(day_of(self._now()))
        return ended if own is None else [*ended, own]

    def promised(self, promise: UsageReport) -> None:
        """Control has it."""
        if promise.source == self._tally.source:
            self._tally.settled(promise.settled)
        else:
            self._ended = [source for source in self._ended if source.source != promise.source]

    def kept(self) -> Kept:
        day = day_of(self._now())
        sources = [UsageReport(source=source.source, rows=source.rows) for source in self._ended]
        own = UsageReport(source=self._tally.source, rows=self._tally.rows())
        used = {
            name: self._others.get((name, day), 0) + self._own.get((name, day), 0) for name in self._bounded
        }
        return Kept(sources=(*sources, own), day=day, used={k: v for k, v in sorted(used.items()) if v})

    def resume(self, kept: Kept) -> None:
        """Go on where a process before this one ended."""
        self._ended += [Ended(report.source, report.rows) for report in kept.sources]
        for name, used in kept.used.items():
            self._bounded.add(name)
            self._learn((name, kept.day), used)

    def _pause(self, unused: int, tokens: int) -> int:
        """Seconds after which a request may find room that finds none now."""
        if 0 < unused >= tokens:
            return 1
        now = self._now()
        return int((day_of(now) + 1) * DAY_SECONDS - now) + 1

    def _learn(self, key: tuple[str, int], tokens: int) -> None:
        """Others have told control of at least so many."""
        if tokens > self._others.get(key, 0):
            self._others[key] = tokens

    def _begin_anew(self) -> None:
        self._ended.append(Ended(self._tally.source, self._tally.rows()))
        self._tally = Tally()
        for key, tokens in self._own.items():
            self._others[key] = self._others.get(key, 0) + tokens
        self._own, self._told = {}, {}

    def _forget(self, today: int) -> None:
        """Of days that are over only the tally knows, as long as control has to hear of them."""
        if today == self._today:
            return
        self._today = today
        for table in (self._own, self._told, self._others):
            for key in [key for key in table if key[1] < today - 1]:
                del table[key]


class Reservation:
    """Tokens that are held for a request until it has ended."""

    def __init__(self, ledger: Ledger, grant: KeyGrant, tokens: int) -> None:
        self._ledger, self._grant, self._tokens = ledger, grant, tokens

    def settle(self, model: str, usage: Usage) -> None:
        """Once, whatever happened: what was used is counted, and the rest is free again."""
        self._ledger.release(self._grant, self._tokens)
        self._tokens = 0
        self._ledger.add(self._grant, model, usage)
