"""What keys used."""

from msgspec import Struct


class UsageRow(Struct, frozen=True, kw_only=True):
    """One key's use of one model (the deployment's name) on one day, counted from 1970-01-01 in UTC."""

    tenant: str
    key: str
    model: str
    day: int
    requests: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0


class UsageReport(Struct, frozen=True, kw_only=True):
    """POST /internal/usage: totals since the process `source` began, of rows that have changed."""

    source: str
    rows: tuple[UsageRow, ...]
