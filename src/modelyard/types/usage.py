"""What keys used: as the gateway tells control, and what control answers.

A day is counted from 1970-01-01 in UTC. Tokens are those of prompts (`cached` of them were read already) and of
answers.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

MOST: Final = 2**63 - 1
FOREVER: Final = 1_000_000
"""A day that does not come."""
DAY_SECONDS: Final = 86_400

Count = Annotated[int, Meta(ge=0, le=MOST)]
Day = Annotated[int, Meta(ge=0, le=FOREVER)]


def day_of(seconds: float) -> int:
    """The day of a time in seconds since the epoch."""
    return int(seconds // DAY_SECONDS)


class UsageRow(Struct, frozen=True, kw_only=True):
    """One key's use of one model (the deployment's name) on one day."""

    tenant: str
    key: str
    model: str
    day: Day
    requests: Count = 0
    prompt: Count = 0
    cached: Count = 0
    completion: Count = 0

    @property
    def tokens(self) -> int:
        """What a budget counts."""
        return self.prompt + self.completion


class UsageReport(Struct, frozen=True, kw_only=True):
    """POST /internal/usage: totals since `source` began, of rows that have changed. Days before `settled` are told
    for good: with this report, `source` has said all that it ever will of them."""

    source: str
    rows: tuple[UsageRow, ...]
    settled: Day = 0


class UsageHeard(Struct, frozen=True, kw_only=True):
    """The answer: what the keys of the report have used on `day`, control's today, as all sources have told it."""

    day: Day
    used: dict[str, Count]
