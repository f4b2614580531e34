"""A time without a zone becomes the moment that the clock on the wall showed it."""

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.gateway.local_time import between, is_zone, moment, read_time

BERLIN = ZoneInfo("Europe/Berlin")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("wall", "zone", "expected"),
    [
        ("2026-01-15T12:00:00", BERLIN, "2026-01-15T11:00:00"),
        ("2026-07-15T12:00:00", BERLIN, "2026-07-15T10:00:00"),
        ("2026-07-15T12:00:00", SAO_PAULO, "2026-07-15T15:00:00"),
        ("2026-01-15T23:30:00.25", ZoneInfo("Asia/Kolkata"), "2026-01-15T18:00:00.25"),
    ],
)
def test_the_offset_is_that_of_the_day(wall: str, zone: ZoneInfo, expected: str) -> None:
    assert utc(expected) == moment(read_time(wall), zone)


@pytest.mark.parametrize(
    ("wall", "zone", "expected"),
    [
        # The clock goes from 02:00 to 03:00 at 01:00 UTC.
        ("2026-03-29T01:59:59", BERLIN, "2026-03-29T00:59:59"),
        ("2026-03-29T02:00:00", BERLIN, "2026-03-29T01:00:00"),
        ("2026-03-29T02:30:00", BERLIN, "2026-03-29T01:30:00"),
        ("2026-03-29T03:00:00", BERLIN, "2026-03-29T01:00:00"),
        # Half an hour is skipped there.
        ("2026-10-04T02:15:00", LORD_HOWE, "2026-10-03T15:45:00"),
    ],
)
def test_in_the_skipped_hour_the_clock_was_not_put_forward_yet(
    wall: str, zone: ZoneInfo, expected: str
) -> None:
    assert utc(expected) == moment(read_time(wall), zone)


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        # The clock goes from 03:00 back to 02:00 at 01:00 UTC.
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59"),
        ("2026-10-25T02:00:00", "2026-10-25T00:00:00"),
        ("2026-10-25T02:59:59", "2026-10-25T00:59:59"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00"),
    ],
)
def test_in_the_hour_that_comes_twice_it_is_the_first(wall: str, expected: str) -> None:
    assert utc(expected) == moment(read_time(wall), BERLIN)


def test_an_end_in_the_hour_that_comes_twice_is_not_before_its_beginning() -> None:
    begin = moment(read_time("2026-10-25T02:58:00"), BERLIN)
    end = moment(read_time("2026-10-25T02:03:00"), BERLIN, not_before=begin)
    assert utc("2026-10-25T01:03:00") == end
    assert timedelta(minutes=5) == between(begin, end)


def test_an_end_before_its_beginning_stays_where_it_is_on_any_other_day() -> None:
    begin = moment(read_time("2026-07-01T12:05:00"), BERLIN)
    end = moment(read_time("2026-07-01T12:00:00"), BERLIN, not_before=begin)
    assert utc("2026-07-01T10:00:00") == end
    assert between(begin, end) is None


def test_an_end_in_the_skipped_hour_keeps_its_reading() -> None:
    begin = utc("2026-03-29T01:40:00")
    assert utc("2026-03-29T01:30:00") == moment(
        read_time("2026-03-29T02:30:00"), BERLIN, not_before=begin
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-03T10:15:30Z", "2026-08-03T10:15:30+00:00"),
        ("2026-08-03T10:15:30.123456789+02:00", "2026-08-03T10:15:30.123456+02:00"),
        ("2026-08-03T10:15:30.5", "2026-08-03T10:15:30.500000"),
    ],
)
def test_a_zone_that_is_told_is_kept_and_one_that_is_not_is_not_made_up(
    text: str, expected: str
) -> None:
    assert expected == read_time(text).isoformat()


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-08-03", "10:15:30", "2026-08-03 10:15:30", "2026-W10-1T10:15:30"),
        *("20260803T101530", "2026-08-03T10:15", "2026-02-30T10:15:30", "2026-08-03T24:00:00"),
        *("2026-08-03T10:15:60", "2026-08-03T10:15:30+15:00", "2026-08-03T10:15:30 Europe/Berlin"),
        *("२०२६-08-03T10:15:30", "2026-08-03T10:15:30Z\n", "0000-01-01T00:00:00"),
    ],
)
def test_any_other_text_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # datetime's own texts are as good
        read_time(text)


@pytest.mark.parametrize("wall", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_the_ends_of_the_calendar_are_refused_or_read_but_never_crash(wall: str, zone: str) -> None:
    with contextlib.suppress(ValueError):
        assert moment(read_time(wall), ZoneInfo(zone)).tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Europe/Berlin", True),
        ("", False),
        ("CEST", False),
        ("../etc/passwd", False),
        ("localtime", False),
    ],
)
def test_only_iana_zones_are_zones(name: str, known: bool) -> None:
    assert known == is_zone(name)
