"""How long a point is kept, as a column shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.unit.domain.retention.series import at, point

from backstay.domain.retention.expiry import tiers_of, until
from backstay.domain.retention.points import Point, Rules

VIENNA = ZoneInfo("Europe/Vienna")
RULES = Rules(zone=VIENNA, hourly=6, daily=7, weekly=4, monthly=12, yearly=3)
NOW = at("2026-11-22T12:00:00+01:00")
TAKEN = "2026-11-22T00:32+01:00"


def reported(extra: Mapping[str, str], taken: str = TAKEN, *, rules: Rules | None = RULES) -> str:
    return until(point("a", taken, **extra), rules, NOW)


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"hourly": "2026-11-21T23Z"}, "hourly until 11-22"),
        ({"daily": "2026-11-22"}, "daily until 11-29"),
        ({"weekly": "w47"}, "weekly until 12-14"),
        ({"monthly": "2026-11"}, "until 2027-11-01"),
        ({"yearly": "2026"}, "until 2029-01-01"),
        ({"daily": "2026-11-22", "weekly": "w47"}, "weekly until 12-14"),
        ({"daily": "2026-11-22", "monthly": "2026-11"}, "until 2027-11-01"),
        ({}, ""),
    ],
)
def test_the_tier_that_keeps_it_longest_is_reported(extra: dict[str, str], text: str) -> None:
    assert reported(extra) == text


def test_a_month_ends_with_the_year() -> None:
    december = {"monthly": "2026-12"}

    assert reported(december, "2026-12-31T23:00+01:00", rules=replace(RULES, monthly=1)) == (
        "monthly until 01-01"
    )


def test_days_are_those_of_the_policys_zone() -> None:
    late = "2026-11-22T23:30+00:00"  # the 23rd in Vienna

    assert reported({"daily": "2026-11-23"}, late) == "daily until 11-30"
    assert reported({"daily": "2026-11-22"}, late, rules=replace(RULES, zone=ZoneInfo("UTC"))) == (
        "daily until 11-29"
    )


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"hold": "true", "delete_after": "2026-12-01", "daily": "2026-11-22"}, "held"),
        ({"delete_after": "2026-12-22", "daily": "2026-11-22"}, "until 12-22"),
        ({"delete_after": "2027-12-22"}, "until 2027-12-22"),
        (
            {"delete_after": "2026-11-23", "marked_at": "2026-11-23T00:40:00+01:00"},
            "marked 11-23",
        ),
        (
            {"delete_after": "2026-11-25", "marked_at": "2026-11-23T00:40:00+01:00"},
            "until 11-25",
        ),
        ({"delete_after": "soon", "daily": "2026-11-22"}, "daily until 11-29"),
    ],
    ids=["held", "by hand", "next year", "marked", "mark moved by hand", "malformed"],
)
def test_a_hold_and_a_date_win_over_tiers(extra: dict[str, str], text: str) -> None:
    assert reported(extra) == text


@pytest.mark.parametrize(
    ("extra", "last", "text"),
    [
        ({}, False, "within until 11-25"),
        ({"daily": "2026-11-22"}, True, "daily until 11-29"),
        ({"hourly": "2026-11-21T23Z"}, False, "within until 11-25"),
        ({"retain": "days"}, False, ""),
        ({"result": "failed"}, False, ""),
    ],
    ids=["young", "a tier is longer", "a tier is shorter", "for days", "failed"],
)
def test_a_young_point_is_reported_until_it_is_old(
    extra: dict[str, str], last: bool, text: str
) -> None:
    rules = replace(RULES, within=timedelta(hours=72))

    assert until(point("a", TAKEN, **extra), rules, NOW, last=last) == text


def test_a_point_of_the_last_ones_has_no_date() -> None:
    rules = replace(RULES, last=3)

    assert until(point("a", TAKEN), rules, NOW, last=True) == "last 3"
    assert until(point("a", TAKEN), rules, NOW) == ""
    assert until(point("a", TAKEN, hold="true"), rules, NOW, last=True) == "held"


@pytest.mark.parametrize("rules", [None, Rules.keep_everything(VIENNA)])
@pytest.mark.parametrize("result", ["good", "failed"])
def test_without_rules_a_point_is_kept(rules: Rules | None, result: str) -> None:
    assert reported({"daily": "2026-11-22", "result": result}, rules=rules) == "kept"
    assert reported({"delete_after": "2026-12-01", "result": result}, rules=rules) == "until 12-01"


def test_a_mark_is_not_followed_once_the_policy_is_gone() -> None:
    marked = {"delete_after": "2026-11-23", "marked_at": "2026-11-23T00:40:00+01:00"}

    assert reported(marked, rules=None) == "kept"


def test_tiers_are_reported_finest_first() -> None:
    carried: Point = point("a", TAKEN, yearly="2026", daily="2026-11-22", weekly="w47")

    assert tiers_of(carried) == ("daily", "weekly", "yearly")
