"""Jitter, blackouts and the starting deadline move the start of a slot, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from backstay.api.schedule import Schedule as Wanted
from backstay.domain.errors import UserError
from backstay.domain.schedule.cron import Schedule
from backstay.domain.schedule.slots import Timing, jitter_warning, offset_of

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def timing(cron: str = "@hourly", zone: str = "UTC", name: str = "shop", **values: Any) -> Timing:
    wanted = Wanted.model_validate({"cron": cron, "timeZone": zone, **values})
    return Timing.of(wanted, "shop", name)


def window(start: str, duration: str) -> dict[str, str]:
    return {"start": start, "duration": duration}


def starts(found: Timing, after: str, count: int) -> list[str]:
    zone = found.schedule.zone
    runs = islice(found.runs(at(after)), count)
    return [
        f"{slot.astimezone(zone):%m-%d %H:%M} at {start.astimezone(zone):%m-%d %H:%M}"
        for slot, start in runs
    ]


def test_the_share_of_jitter_belongs_to_the_policys_address_for_ever() -> None:
    # These very numbers: another version of the operator must not move anybody's runs.
    jitter = timedelta(minutes=10)
    assert offset_of("shop", "shop", jitter) == timedelta(seconds=26)
    assert offset_of("shop", "logs", jitter) == timedelta(seconds=392)
    assert offset_of("shop", "shop", None) == timedelta(0)
    assert offset_of("shop", "shop", timedelta(seconds=1)) == timedelta(0)


def test_a_thousand_policies_are_spread_evenly_over_their_jitter() -> None:
    jitter = timedelta(minutes=10)
    offsets = [offset_of("shop", f"policy-{number}", jitter) for number in range(1000)]
    minutes = [sum(1 for o in offsets if o // MINUTE == minute) for minute in range(10)]
    assert sum(minutes) == 1000
    assert all(60 <= number <= 140 for number in minutes)


def test_slots_keep_their_names_and_start_later_by_the_share_of_jitter() -> None:
    found = timing(jitter="40m")
    assert timedelta(0) < found.offset < timedelta(minutes=40)
    slot = at("2026-11-22T01:00Z")
    assert list(islice(found.runs(at("2026-11-22T00:00Z")), 2)) == [
        (slot, slot + found.offset),
        (slot + HOUR, slot + HOUR + found.offset),
    ]


BLACKOUTS = [
    # A nightly run that falls into a window runs when that is over.
    ("0 2 * * *", "UTC", [window("0 1 * * *", "3h")], "2026-11-22T00:00Z",
     ["11-22 02:00 at 11-22 04:00", "11-23 02:00 at 11-23 04:00"]),
    # The window's first moment is inside, its last is not.
    ("0 1,4 * * *", "UTC", [window("0 1 * * *", "3h")], "2026-11-22T00:00Z",
     ["11-22 04:00 at 11-22 04:00", "11-23 04:00 at 11-23 04:00"]),
    # Hourly runs wait for the end of office hours as one; on Saturday there are none.
    ("30 * * * *", "Europe/Vienna", [window("0 8 * * mon-fri", "10h")], "2026-11-20T05:40Z",
     ["11-20 07:30 at 11-20 07:30", "11-20 17:30 at 11-20 18:00", "11-20 18:30 at 11-20 18:30"]),
    # Two windows that overlap are one; an earlier, longer one is not shortened by a later one.
    ("0 2 * * *", "UTC", [window("0 1 * * *", "5h"), window("30 1 * * *", "1h")],
     "2026-11-22T00:00Z", ["11-22 02:00 at 11-22 06:00"]),
    ("0 2 * * *", "UTC", [window("0 1 * * *", "2h"), window("0 3 * * *", "1h")],
     "2026-11-22T00:00Z", ["11-22 02:00 at 11-22 04:00"]),
    # One that outlasts the deadline (6 h) costs the run, and only that one.
    ("0 2 * * *", "UTC", [window("0 1 22 * *", "8h")], "2026-11-21T12:00Z",
     ["11-23 02:00 at 11-23 02:00"]),
    ("*/30 * * * *", "UTC", [window("0 1 22 * *", "8h")], "2026-11-22T00:20Z",
     ["11-22 00:30 at 11-22 00:30", "11-22 09:00 at 11-22 09:00"]),
    # Windows are read in the policy's zone, and last as many hours as pass: 02:00 is skipped in
    # Vienna on 03-29 and comes twice on 10-25.
    ("0 4 * * *", "Europe/Vienna", [window("0 0 * * *", "4h")], "2026-03-28T12:00Z",
     ["03-29 04:00 at 03-29 05:00", "03-30 04:00 at 03-30 04:00"]),
    ("0 4 * * *", "Europe/Vienna", [window("0 0 * * *", "5h")], "2026-10-24T12:00Z",
     ["10-25 04:00 at 10-25 04:00", "10-26 04:00 at 10-26 05:00"]),
    # A window that would begin in the gap begins right after it.
    ("30 3 * * *", "Europe/Vienna", [window("30 2 * * *", "2h")], "2026-03-28T12:00Z",
     ["03-29 03:30 at 03-29 05:00", "03-30 03:30 at 03-30 04:30"]),
    # Apia had no 2011-12-30: the window of that day falls together with midnight after it.
    ("0 1 * * *", "Pacific/Apia", [window("0 0 30 * *", "90m")], "2011-12-29T12:00Z",
     ["12-31 01:00 at 12-31 01:30", "01-01 01:00 at 01-01 01:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("cron", "zone", "blackouts", "after", "expected"), BLACKOUTS)
def test_nothing_starts_in_a_blackout(
    cron: str, zone: str, blackouts: list[dict[str, str]], after: str, expected: list[str]
) -> None:
    found = timing(cron, zone, blackouts=blackouts)
    assert starts(found, after, len(expected)) == expected


def test_policies_that_waited_for_one_window_start_spread_over_their_jitter() -> None:
    blackouts = [window("0 1 * * *", "3h")]
    ends = at("2026-11-22T04:00Z")
    for name in ("shop", "logs", "mail"):
        found = timing("0 2 * * *", name=name, jitter="10m", blackouts=blackouts)
        assert found.offset > timedelta(0)
        assert found.start(at("2026-11-22T02:00Z")) == ends + found.offset
        # Also one whose slot lies in the window and whose share of jitter reaches out of it.
        late = timing("58 3 * * *", name=name, jitter="10m", blackouts=blackouts)
        assert late.start(at("2026-11-22T03:58Z")) == ends + late.offset


@pytest.mark.parametrize(
    ("cron", "deadline", "blackouts"),
    [
        ("* * * * *", "6h", [window("* * * * *", "1m")]),
        ("0 2 * * *", "1h", [window("0 1 * * *", "3h")]),
        ("@yearly", "6h", [window("@yearly", "3d")]),
        ("0 1 * * *", "1m", [window("* 0-15 * * *", "1m")]),
    ],
)
def test_a_schedule_that_blackouts_never_let_start_ends(
    cron: str, deadline: str, blackouts: list[dict[str, str]]
) -> None:
    found = timing(cron, startingDeadline=deadline, blackouts=blackouts)
    assert found.next_start(at("2026-11-22T00:00Z")) is None


def test_a_rare_gap_between_long_blackouts_is_found() -> None:
    # Only the second half of December is open, and the deadline does not reach it before.
    found = timing("* * * * *", startingDeadline="5m", blackouts=[window("@yearly", "348d")])
    assert found.next_start(at("2026-01-01T00:00Z")) == at("2026-12-15T00:00Z")


def test_a_bad_window_is_refused_with_its_field() -> None:
    with pytest.raises(UserError, match=r"^spec\.schedule\.blackouts\[1\]\.start: '61 0 ") as error:
        timing(blackouts=[window("0 0 * * *", "1h"), window("61 0 * * *", "1h")])
    assert error.value.reason == "InvalidSchedule"


@pytest.mark.parametrize(
    ("cron", "jitter", "warned"),
    [
        ("*/15 * * * *", timedelta(minutes=15), True),
        ("*/15 * * * *", timedelta(minutes=14), False),
        ("0 1,3 * * *", timedelta(hours=2), True),
        ("@daily", timedelta(hours=3), False),
        ("@daily", None, False),
        ("@yearly", timedelta(days=300), False),
    ],
)
def test_jitter_as_long_as_the_time_between_two_slots_is_reported(
    cron: str, jitter: timedelta | None, warned: bool
) -> None:
    assert (jitter_warning(Schedule.parse(cron, "UTC"), jitter) is not None) is warned


def test_the_warning_names_field_and_numbers() -> None:
    reported = jitter_warning(Schedule.parse("*/5 * * * *", "UTC"), timedelta(minutes=10))
    assert reported is not None
    assert reported.startswith(
        "spec.schedule.jitter of 10m is no shorter than the shortest time between two slots (5m)"
    )
