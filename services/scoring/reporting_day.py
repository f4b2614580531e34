"""The days that a moment falls on: the UTC day, and that of the tenant's reporting zone."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

# Offsets of zones change by whole quarters of an hour, but for local mean times of long ago.
QUARTER_SECONDS = 900
# Two years of quarters; a replay of more begins anew.
QUARTERS_MAX = 70_000
# More than have a name.
ZONES_MAX = 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReportingDays:
    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._info = ZoneInfo(zone)
        # None where the quarter of an hour lies on two days.
        self._known: dict[int, tuple[date, date] | None] = {}

    def of(self, seconds: int) -> tuple[date, date]:
        """The UTC day and the reporting day of a moment, in seconds since 1970."""
        quarter = seconds // QUARTER_SECONDS
        try:
            days = self._known[quarter]
        except KeyError:
            days = self._learn(quarter)
        return days or self._days(seconds)

    def _learn(self, quarter: int) -> tuple[date, date] | None:
        first = self._days(quarter * QUARTER_SECONDS)
        last = self._days((quarter + 1) * QUARTER_SECONDS - 1)
        days = first if first == last else None
        if len(self._known) >= QUARTERS_MAX:
            self._known.clear()
        # Not read again: pages are read in threads, and another one may clear it now.
        self._known[quarter] = days
        return days

    def _days(self, seconds: int) -> tuple[date, date]:
        moment = EPOCH + timedelta(seconds=seconds)
        return moment.date(), moment.astimezone(self._info).date()


@lru_cache(ZONES_MAX)
def reporting_days(zone: str) -> ReportingDays:
    """Those of all tenants in the zone: 13 MB where two years are known, and most have the same zone."""
    return ReportingDays(zone)
