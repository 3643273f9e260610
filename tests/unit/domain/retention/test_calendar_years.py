"""Retention's calendar from 2020 to 2032 against GNU date: years, weeks, leap days, DST nights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from tests.support.gnu_date import texts
from tests.unit.domain.retention.series import apply, point

from backstay.domain import labels
from backstay.domain.calendar import TIER_LABELS, Tier, period_of
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Rules

ZONES = (
    "Europe/Vienna",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
YEARS = range(2020, 2033)
DAY, HOUR, HALF = timedelta(days=1), timedelta(hours=1), timedelta(minutes=30)
SECOND = timedelta(seconds=1)


def utc(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def spans(first: datetime, last: datetime, step: timedelta) -> Iterator[datetime]:
    while first < last:
        yield first
        first += step


@cache
def changes(zone: str) -> list[datetime]:
    """The UTC days in which the zone's offset changes, and the day that Apia left out."""
    tz = ZoneInfo(zone)
    days = list(spans(utc(2019, 12, 25), utc(2033, 1, 10), DAY))
    found = [
        one
        for one, next_ in pairwise(days)
        if one.astimezone(tz).utcoffset() != next_.astimezone(tz).utcoffset()
    ]
    return found + ([utc(2011, 12, 29), utc(2011, 12, 30)] if zone == "Pacific/Apia" else [])


def midnight(at: datetime, zone: str) -> datetime:
    return datetime.combine(at.astimezone(ZoneInfo(zone)).date(), time(), ZoneInfo(zone))


@cache
def moments(zone: str) -> list[datetime]:
    """Year ends and the end of each February every three hours and at each midnight, and nights
    in which clocks change every half hour; and the second before each.
    """
    found: set[datetime] = set()
    for year in YEARS:
        found |= set(spans(utc(year - 1, 12, 26), utc(year, 1, 6), 3 * HOUR))
        found |= set(spans(utc(year, 2, 27), utc(year, 3, 3), 3 * HOUR))
    found |= {midnight(at, zone).astimezone(UTC) for at in found}
    for day in changes(zone):
        found |= set(spans(day - DAY, day + 2 * DAY, HALF))
    return sorted(found | {moment - SECOND for moment in found})


@pytest.mark.parametrize("zone", ZONES)
def test_periods_are_those_of_gnu_date(zone: str) -> None:
    tz, all_ = ZoneInfo(zone), moments(zone)
    said = texts(zone, all_, "%F|w%V|%G-w%V|%Y-%m|%Y")
    hours = texts("UTC", all_, "%FT%HZ")
    for moment, local, hour in zip(all_, said, hours, strict=True):
        day, week, of_year, month, year = local.split("|")
        expected = {
            Tier.HOURLY: hour,
            Tier.DAILY: day,
            Tier.WEEKLY: week,
            Tier.MONTHLY: month,
            Tier.YEARLY: year,
        }
        found = {tier: period_of(tier, moment, tz) for tier in Tier}
        assert {tier: period.value for tier, period in found.items()} == expected, moment
        iso = found[Tier.WEEKLY].order
        assert f"{iso[0]:04d}-w{iso[1]:02d}" == of_year, moment


@pytest.mark.parametrize("zone", ZONES)
def test_no_later_moment_is_in_an_earlier_period(zone: str) -> None:
    tz = ZoneInfo(zone)
    for earlier, later in pairwise(moments(zone)):
        for tier in Tier:
            assert period_of(tier, earlier, tz) <= period_of(tier, later, tz), (tier, later)


def test_the_zones_change_their_clocks_where_they_are_known_to() -> None:
    """So that the nights of the other tests are there at all."""
    counts = {zone: len(changes(zone)) for zone in ZONES}
    assert counts == {
        "Europe/Vienna": 26,
        "America/New_York": 26,
        "Asia/Kolkata": 0,
        "Australia/Lord_Howe": 26,
        "Pacific/Apia": 5,
    }


# ---- what a series keeps over the ends of years -----------------------------------------------


def first_of_each(days: Mapping[date, str]) -> dict[str, date]:
    """The earliest day of each period, oldest period first."""
    found: dict[str, date] = {}
    for day in sorted(days):
        found.setdefault(days[day], day)
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_over_the_end_of_a_year_the_newest_weeks_months_and_years_are_kept(zone: str) -> None:
    tz = ZoneInfo(zone)
    rules = Rules(zone=tz, weekly=4, monthly=3, yearly=2)
    counts = ((Tier.WEEKLY, 4, 1), (Tier.MONTHLY, 3, 2), (Tier.YEARLY, 2, 3))
    winters = [
        [datetime.combine(date(year - 1, 11, 25) + n * DAY, time(0, 32), tz) for n in range(60)]
        for year in YEARS
    ]
    said = iter(texts(zone, [at for winter in winters for at in winter], "%F|%G%V|%Y-%m|%Y"))
    for winter in winters:
        world = apply(
            judge([point(f"d-{at.date()}", at) for at in winter], rules, winter[-1] + 6 * HOUR)
        )
        lines = [next(said).split("|") for _ in winter]
        for tier, count, column in counts:
            firsts = first_of_each({date.fromisoformat(line[0]): line[column] for line in lines})
            carriers = {p.name for p in world if TIER_LABELS[tier] in p.labels}
            expected = {f"d-{day}" for day in list(firsts.values())[-count:]}
            assert carriers == expected, (tier, winter[0])


# ---- dates and the grace over nights in which clocks change ----------------------------------


def first_moment_after(zone: str, day: str, near: datetime) -> datetime:
    """The first moment whose date in the zone is past `day`, by GNU date: days of all these zones
    begin at a quarter of an hour.
    """
    quarters = list(spans(near - DAY, near + 3 * DAY, HALF / 2))
    dates = texts(zone, quarters, "%F")
    return next(moment for moment, found in zip(quarters, dates, strict=True) if found > day)


def nights(zone: str) -> list[datetime]:
    """Some days in which the clocks change (or not, where they never do)."""
    found = changes(zone)
    if not found:
        return [utc(2026, 3, 29), utc(2028, 2, 29)]
    return [*found[:2], found[-1]]


@pytest.mark.parametrize("zone", ZONES)
def test_a_mark_is_followed_after_its_date_and_a_whole_day_however_long_the_night(
    zone: str,
) -> None:
    tz = ZoneInfo(zone)
    rules = Rules(zone=tz, daily=1)
    for night in nights(zone):
        for hours in (-9, 5, 17):
            marked_at = night + timedelta(hours=hours)
            old = point("old", night - 40 * DAY)
            world = [old, point("new", night - 20 * DAY)]
            marked = apply(judge(world, rules, marked_at))
            (day,) = texts(zone, [marked_at], "%F")
            assert marked[0].labels[labels.DELETE_AFTER] == day
            due = max(first_moment_after(zone, day, marked_at), marked_at + DAY + SECOND)
            assert not judge(marked, rules, due - SECOND)[0].sweep, (marked_at, due)
            assert judge(marked, rules, due)[0].sweep, (marked_at, due)


@pytest.mark.parametrize("zone", ZONES)
def test_a_point_for_a_number_of_days_goes_when_its_last_day_is_over_there(zone: str) -> None:
    tz = ZoneInfo(zone)
    rules = Rules(zone=tz, daily=1)
    for night in nights(zone):
        (day,) = texts(zone, [night], "%F")
        adhoc = point("adhoc", night - 9 * DAY, retain="days", delete_after=day)
        world = [adhoc, point("new", night - DAY)]
        over = first_moment_after(zone, day, night)
        assert not judge(world, rules, over - SECOND)[0].sweep, (day, over)
        assert judge(world, rules, over)[0].sweep, (day, over)
