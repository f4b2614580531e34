"""The UTC day and the reporting day of a moment, remembered by the quarter of an hour."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring import reporting_day
from services.scoring.reporting_day import ReportingDays, reporting_days

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]
# The moments that events may have happened at.
SECONDS = st.integers(-2_208_988_800, 32_503_679_999)


def by_hand(zone: str, seconds: int) -> tuple[date, date]:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.date(), moment.astimezone(ZoneInfo(zone)).date()


# A machine that is busy with the other tests is no finding.
@settings(deadline=None)
@given(st.sampled_from(ZONES), st.lists(SECONDS, min_size=1, max_size=20))
def test_a_moment_is_on_the_days_that_clocks_there_show(zone: str, seconds: list[int]) -> None:
    days = ReportingDays(zone)
    # The second time they are remembered.
    for each in [*seconds, *seconds]:
        assert by_hand(zone, each) == days.of(each)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting_day, "QUARTERS_MAX", 10)
    days = ReportingDays("Europe/Berlin")
    for seconds in range(0, 100 * 900, 900):
        assert by_hand("Europe/Berlin", seconds) == days.of(seconds)
        assert len(days._known) <= 10


def test_a_thread_that_begins_anew_takes_no_day_from_another() -> None:
    class Forgetful(dict[int, tuple[date, date] | None]):
        """As where another thread clears it at once."""

        def __setitem__(self, quarter: int, days: tuple[date, date] | None) -> None:
            self.clear()

    days = ReportingDays("Europe/Berlin")
    days._known = Forgetful()
    assert by_hand("Europe/Berlin", 0) == days.of(0)


def test_tenants_of_one_zone_share_what_is_remembered() -> None:
    assert reporting_days("Europe/Berlin") is reporting_days("Europe/Berlin")
    assert reporting_days("Europe/Berlin") is not reporting_days("UTC")
