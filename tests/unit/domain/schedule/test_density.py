"""A warning where a schedule makes more points than the finest rule can keep."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backstay.domain.retention.points import Rules
from backstay.domain.schedule.cron import Schedule
from backstay.domain.schedule.density import density_warning

VIENNA = ZoneInfo("Europe/Vienna")


def warned(cron: str, zone: str = "Europe/Vienna", **rules: Any) -> str | None:
    return density_warning(Schedule.parse(cron, zone), Rules(zone=ZoneInfo(zone), **rules))


@pytest.mark.parametrize(
    ("cron", "rules", "reported"),
    [
        ("@hourly", {"daily": 7, "weekly": 4}, "daily keeps one of up to 24 points a day"),
        ("0 0,12 * * *", {"daily": 7}, "daily keeps one of up to 2 points a day"),
        ("*/15 * * * *", {"daily": 7}, "daily keeps one of up to 96 points a day"),
        ("* * * * *", {"daily": 7}, "daily keeps one of 100 or more points a day"),
        ("*/20 * * * *", {"hourly": 24, "daily": 7}, "hourly keeps one of up to 3 points an hour"),
        ("@daily", {"weekly": 4}, "weekly keeps one of up to 7 points a week"),
        ("32 0 * * mon,fri", {"weekly": 4}, "weekly keeps one of up to 2 points a week"),
        ("0 0,1 29 2 *", {"daily": 7}, "daily keeps one of up to 2 points a day"),
        ("0 0,1 * 2 mon#5", {"daily": 7}, "daily keeps one of up to 2 points a day"),
        ("0 0 1,15 * *", {"yearly": 5}, "yearly keeps one of up to 24 points a year"),
        ("0 0 1,15 * *", {"monthly": 5}, "monthly keeps one of up to 2 points a month"),
        ("@weekly", {"monthly": 12}, "monthly keeps one of up to 5 points a month"),
    ],
)
def test_a_schedule_that_is_denser_is_reported_with_its_number(
    cron: str, rules: dict[str, Any], reported: str
) -> None:
    warning = warned(cron, **rules)

    assert warning is not None
    assert f": {reported}, and" in warning
    assert ("set hourly, last" in warning) is ("hourly" not in rules)


@pytest.mark.parametrize(
    ("cron", "rules"),
    [
        ("@daily", {"daily": 7}),
        ("32 0 * * *", {"daily": 7, "monthly": 12}),
        ("0 */6 * * *", {"hourly": 24}),
        ("@hourly", {"hourly": 24, "daily": 7}),
        ("@weekly", {"daily": 7}),
        ("@weekly", {"weekly": 4}),
        ("@monthly", {"monthly": 4}),
        ("@yearly", {"yearly": 4}),
        ("0 0 29 2 *", {"yearly": 4}),
        ("0 0 * 2 mon#5", {"yearly": 4}),
        ("@hourly", {"daily": 7, "last": 1}),
        ("@hourly", {"daily": 7, "within": timedelta(hours=1)}),
        ("@hourly", {"keeps_all": True}),
        ("@hourly", {}),
    ],
)
def test_what_the_finest_rule_keeps_is_not_warned_of(cron: str, rules: dict[str, Any]) -> None:
    assert warned(cron, **rules) is None


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
)
def test_periods_are_those_of_the_zone(zone: str) -> None:
    assert warned("@daily", zone, daily=7) is None
    assert warned("@hourly", zone, hourly=7) is None
    assert "up to 24 points a day" in (warned("@hourly", zone, daily=7) or "")
