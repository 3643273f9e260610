"""Every clock change of 2020 to 2032, and the calendar's own corners, against a walk by minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from backstay.domain.schedule.cron import Schedule

ZONES = {
    "Europe/Vienna": 26,
    "America/New_York": 26,
    "Asia/Kolkata": 0,
    "Australia/Lord_Howe": 26,
    "Pacific/Apia": 3,
}
"""With how many clock changes there are."""
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def changes(zone: ZoneInfo) -> list[datetime]:
    """The days (UTC, midnight) within which clocks change."""
    days = [FIRST + n * DAY for n in range((LAST - FIRST).days)]
    return [d for d in days if utcoffset(d, zone) != utcoffset(d + DAY, zone)]


def utcoffset(moment: datetime, zone: ZoneInfo) -> timedelta:
    found = moment.astimezone(zone).utcoffset()
    assert found is not None
    return found


def walked(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The first minute of that local day or the next at which a clock shows the time, or the
    first one after it where no clock ever does.
    """
    wanted = datetime.combine(day, wall)
    near = wanted.replace(tzinfo=UTC)
    # Whatever the zone's offset is on that day, the clock shows less then.
    begin = near - max(utcoffset(near - DAY, zone), utcoffset(near + DAY, zone)) - MINUTE
    shown = ((begin + n * MINUTE).astimezone(zone) for n in range(4 * 60))
    first = next(s for s in shown if s.replace(tzinfo=None, fold=0) >= wanted)
    return first.astimezone(UTC)


@pytest.mark.parametrize(("name", "number"), ZONES.items())
@pytest.mark.parametrize("wall", [time(0, 0), time(1, 45), time(2, 15), time(2, 30), time(23, 59)])
def test_a_daily_slot_comes_once_on_every_day_on_which_clocks_change(
    name: str, number: int, wall: time
) -> None:
    zone = ZoneInfo(name)
    schedule = Schedule.parse(f"{wall.minute} {wall.hour} * * *", name)
    found = changes(zone)
    assert len(found) == number
    for change in found:
        days = [change.date() + n * DAY for n in (-1, 0, 1, 2)]
        expected = [walked(day, wall, zone) for day in days]
        assert list(islice(schedule.after(expected[0] - MINUTE), 4)) == expected


@pytest.mark.parametrize("name", ZONES)
def test_an_hourly_slot_comes_every_hour_that_passes(name: str) -> None:
    # but for Lord Howe, whose clocks move by half an hour
    schedule = Schedule.parse("@hourly", name)
    half = timedelta(minutes=30)
    for change in changes(ZoneInfo(name)):
        slots = list(islice(schedule.after(change - DAY), 72))
        gaps = {b - a for a, b in pairwise(slots)}
        allowed = {2 * half, half, 3 * half} if name == "Australia/Lord_Howe" else {2 * half}
        assert gaps <= allowed


def test_apia_had_no_30th_of_december_2011() -> None:
    schedule = Schedule.parse("30 12 * * *", "Pacific/Apia")
    slots = islice(schedule.after(datetime(2011, 12, 29, tzinfo=UTC)), 4)
    local = [s.astimezone(schedule.zone).isoformat(timespec="minutes") for s in slots]
    assert local == [
        "2011-12-29T12:30-10:00",
        "2011-12-31T00:00+14:00",
        "2011-12-31T12:30+14:00",
        "2012-01-01T12:30+14:00",
    ]


CALENDAR = [
    ("0 0 29 2 *", 4, "2020-02-29", "2032-02-29"),
    ("0 0 L 2 *", 13, "2020-02-29", "2032-02-29"),
    ("0 0 31 * *", 13 * 7, "2020-01-31", "2032-12-31"),
    ("@monthly", 13 * 12 - 1, "2020-02-01", "2032-12-01"),
    ("@weekly", 678, "2020-01-05", "2032-12-26"),
    ("0 0 * * mon", 678, "2020-01-06", "2032-12-27"),
    ("@yearly", 12, "2021-01-01", "2032-01-01"),
]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("cron", "number", "first", "last"), CALENDAR)
def test_leap_days_and_the_ends_of_months_and_years_are_the_calendars(
    zone: str, cron: str, number: int, first: str, last: str
) -> None:
    schedule = Schedule.parse(cron, zone)
    begin, end = (datetime(year, 1, 1, tzinfo=schedule.zone) for year in (2020, 2033))
    slots = list(takewhile(lambda s: s < end, schedule.after(begin)))
    days = [s.astimezone(schedule.zone).date().isoformat() for s in slots]
    assert (len(days), days[0], days[-1]) == (number, first, last)
    assert days == sorted(set(days))
