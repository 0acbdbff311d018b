"""What keys used: as the gateway tells it, and as it is asked for."""

from modelyard.control.platform import Platform
from modelyard.store.usage import fold, record, used_on
from modelyard.types.usage import UsageHeard, UsageReport, day_of


def receive(platform: Platform, report: UsageReport) -> UsageHeard:
    """Keep what a gateway tells."""
    today = day_of(platform.now())
    with platform.database.write() as session:
        record(session, report)
        return UsageHeard(day=today, used=used_on(session, today, {row.key for row in report.rows}))


def fold_old(platform: Platform) -> None:
    """Put together what several sources have counted on days that are over for a whole day."""
    more = True
    while more:
        with platform.database.write() as session:
            more = fold(session, day_of(platform.now()) - 1) > 0
