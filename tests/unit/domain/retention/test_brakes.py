"""The brake on many marks at once, and what a policy reports it."""

from dataclasses import replace
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.unit.domain.retention.series import at, patched, point

from backstay.api.common import Condition
from backstay.domain import labels
from backstay.domain.retention.brakes import (
    CONDITION,
    NOT_HELD,
    Brake,
    Held,
    brake_marks,
    freeze,
    hold_back,
    marks,
    mass_mark,
    released_plans,
    with_brake,
)
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict

VIENNA = ZoneInfo("Europe/Vienna")
NOW = at("2026-11-22T12:00:00+01:00")
OURS = {"delete_after": "2026-11-22", "marked_at": "2026-11-22T00:40:00+01:00"}


def daily(count: int, **extra: str) -> list[Point]:
    """p00 is of today; each of the others of a day before."""
    return [point(f"p{i:02d}", NOW - timedelta(days=i), **extra) for i in range(count)]


def judged(world: list[Point], keep: int) -> list[Verdict]:
    return judge(world, Rules(zone=VIENNA, last=keep), NOW)


@pytest.mark.parametrize(
    ("size", "keep", "is_held"),
    [
        (4, 1, False),
        (5, 1, True),
        (9, 6, False),
        (12, 8, False),
        (12, 7, True),
        (14, 9, True),
        (15, 10, False),
        (16, 10, True),
    ],
    ids=["3 of 4", "4 of 5", "3 of 9", "4 of 12", "5 of 12", "5 of 14", "5 of 15", "6 of 16"],
)
def test_more_than_three_and_more_than_a_third_is_held(size: int, keep: int, is_held: bool) -> None:
    verdicts, held = brake_marks(judged(daily(size), keep), ())

    assert (held is not None) is is_held
    assert sum(map(marks, verdicts)) == (0 if is_held else size - keep)
    if held is not None:
        assert (held.claim, held.marks, held.size) == ("data", size - keep, size)


def test_only_the_mark_is_taken_from_a_verdict_and_the_reason_is_reported() -> None:
    old = point("old", NOW - timedelta(days=90), daily="2026-08-24")
    world = [*daily(6), replace(old, in_use=None)]

    verdicts, _ = brake_marks(judged(world, 1), ())

    found = {v.point.name: v for v in verdicts}["old"]
    assert found.remove_labels == (labels.DAILY,)
    assert (found.set_labels, found.set_annotations) == ({}, {})
    assert found.reasons[1:] == (
        "kept by no rule, but not marked: 6 of 7 points would be marked at once",
    )


def test_what_is_marked_already_makes_no_room_for_more() -> None:
    marked = [replace(p, name=f"m-{p.name}", uid=f"m-{p.uid}") for p in daily(30, **OURS)[1:]]

    _, held = brake_marks(judged([*daily(6), *marked], 1), ())

    assert held is not None
    assert (held.marks, held.size) == (5, 6)


def test_going_and_pending_points_make_no_room_for_more() -> None:
    old = NOW - timedelta(days=90)
    approved = {"delete_after": "2026-11-01", "marked_at": "2026-11-01T00:40:00+01:00"}
    swept = [point(f"s{i}", old, **approved) for i in range(20)]
    going = [replace(point(f"g{i}", old), deleting=True) for i in range(20)]
    pending = [point(f"w{i}", old, result="pending") for i in range(20)]

    _, held = brake_marks(judged([*daily(5), *swept, *going, *pending], 1), ())

    assert held is not None
    assert (held.marks, held.size) == (4, 5)


def test_the_hash_releases_this_very_plan_and_no_other() -> None:
    _, held = brake_marks(judged(daily(9), 2), ())
    assert held is not None
    assert len(held.plan) == 10

    released, none = brake_marks(judged(daily(9)[::-1], 2), {held.plan, "0123456789"})
    assert none is None
    assert sum(map(marks, released)) == 7

    _, other = brake_marks(judged(daily(9), 1), {held.plan})
    assert other is not None
    assert other.plan != held.plan


def test_a_released_plan_that_was_interrupted_is_finished_without_asking_again() -> None:
    _, held = brake_marks(judged(daily(12), 1), ())
    assert held is not None
    half = [patched(v) if n % 2 else v.point for n, v in enumerate(judged(daily(12), 1))]

    rest, again = brake_marks(judged(half, 1), {held.plan})

    assert again is None
    assert sum(map(marks, rest)) == 5


HELD = Held(claim="data", marks=12, size=14, plan="0123456789")


def test_the_message_names_the_claim_and_the_command() -> None:
    brake = mass_mark([HELD], "prod", "shop")

    assert brake == Brake(
        "MassMark",
        "claim data: 12 of 14 points would be marked at once; none of them is. If that is meant, "
        "run: kubectl annotate backuppolicy shop backstay.dev/release-retention=0123456789 "
        "--overwrite -n prod",
    )
    assert mass_mark([], "prod", "shop") is None


def test_many_claims_are_released_by_one_command_that_fits() -> None:
    many = [replace(HELD, claim="c" * 253, plan=f"{i:010d}") for i in range(256)]

    brake = mass_mark(many, "n" * 63, "p" * 220)

    assert brake is not None
    assert "; and 254 more claims; none of them is" in brake.message
    assert len(brake.message) <= 4096
    assert brake.message.endswith("-n " + "n" * 63)
    reported = brake.message.split("release-retention=")[1].split(" ")[0]
    assert released_plans(reported) == {f"{i:010d}" for i in range(100)}


@pytest.mark.parametrize(
    ("text", "plans"),
    [(None, set()), ("", set()), ("a", {"a"}), (" a, b ,", {"a", "b"})],
)
def test_the_annotation_may_name_several_plans(text: str | None, plans: set[str]) -> None:
    assert released_plans(text) == plans


def test_the_condition_comes_with_the_first_brake_and_turns_false_after_it() -> None:
    ready = Condition(
        type="Ready", status="True", reason="Valid", message="", last_transition_time=NOW
    )
    later = NOW + timedelta(hours=1)
    why = Brake("MassMark", "why")

    assert with_brake((ready,), CONDITION, None, NOT_HELD, generation=1, now=NOW) == (ready,)
    held = with_brake((ready,), CONDITION, why, NOT_HELD, generation=1, now=NOW)
    assert held[0] == ready
    assert (held[1].type, held[1].status, held[1].reason, held[1].message) == (
        "RetentionHeld",
        "True",
        "MassMark",
        "why",
    )
    assert with_brake(held, CONDITION, why, NOT_HELD, generation=1, now=later) == held
    released = with_brake(held, CONDITION, None, NOT_HELD, generation=1, now=later)
    assert (released[1].status, released[1].reason) == ("False", "NotHeld")
    assert released[1].last_transition_time == later.astimezone(UTC)


# ---- dates that many points get at once ------------------------------------------------------

PAST = {"delete_after": "2026-11-01"}
KEEP_ALL = Rules(zone=VIENNA, keeps_all=True)


def dated(count: int) -> list[Point]:
    """A good point of now, and others that a hand has dated in the past."""
    return [
        point("now", NOW),
        *(replace(p, name=f"d-{p.name}") for p in daily(count + 1, **PAST)[1:]),
    ]


def passes(world: list[Point], released: set[str], limit: int = 5) -> tuple[list[Point], list[int]]:
    """Let passes run until nothing changes: what is left, and how many each swept."""
    swept = []
    for _ in range(limit):
        verdicts, _ = brake_marks(judge(world, KEEP_ALL, NOW), released)
        swept.append(sum(v.sweep for v in verdicts))
        world = [patched(v) for v in verdicts if not v.sweep]
    return world, swept


def test_many_dates_of_the_past_sweep_nothing_until_a_person_releases_them() -> None:
    world = dated(24)

    left, swept = passes(world, set())
    assert (len(left), sum(swept)) == (25, 0)
    _, held = brake_marks(judge(world, KEEP_ALL, NOW), ())
    assert held is not None
    assert (held.marks, held.size, held.how) == (24, 25, "marked or swept")

    left, swept = passes(world, {held.plan})
    assert [p.name for p in left] == ["now"]
    assert swept[:2] == [0, 24]  # written down first, all of them


def test_a_few_dates_of_the_past_are_followed_as_they_always_were() -> None:
    left, swept = passes(dated(3), set())
    assert ([p.name for p in left], swept[0]) == (["now"], 3)


def test_released_dates_that_were_written_in_part_are_finished_without_asking_again() -> None:
    world = dated(24)
    _, held = brake_marks(judge(world, KEEP_ALL, NOW), ())
    assert held is not None
    verdicts, _ = brake_marks(judge(world, KEEP_ALL, NOW), {held.plan})
    half = [patched(v) if n % 2 else v.point for n, v in enumerate(verdicts)]

    left, swept = passes(half, {held.plan})

    assert [p.name for p in left] == ["now"]
    assert swept[:2] == [0, 24]


def test_what_was_released_goes_on_when_some_of_it_is_gone() -> None:
    world = dated(24)
    _, held = brake_marks(judge(world, KEEP_ALL, NOW), ())
    assert held is not None
    verdicts, _ = brake_marks(judge(world, KEEP_ALL, NOW), {held.plan})
    ready = [patched(v) for v in verdicts][:12]

    assert len(passes(ready, {held.plan})[0]) == 1


def test_a_date_that_was_changed_after_its_release_is_another_one() -> None:
    changed = [replace(p, released="2026-10-01") for p in dated(24)]
    assert sum(passes(changed, set())[1]) == 0


def test_marks_and_dates_are_counted_together() -> None:
    world = [
        *daily(10),
        *(replace(p, uid=f"x{p.uid}", name=f"x{p.name}") for p in daily(3, **PAST)),
    ]
    _, held = brake_marks(judged(world, 7), ())
    assert held is not None
    assert held.marks == 6


# ---- what every pass holds back by, and in which order -----------------------------------------

OFF = Brake("ClockSkew", "the clock is off")


def test_a_clock_that_is_off_takes_marks_and_leaves_sweeps_in_sight() -> None:
    due = point("due", NOW - timedelta(days=90), **PAST)
    found, held = hold_back(judged([*daily(3), due], 1), clock=OFF, frozen=(), released=())

    assert held is None
    assert not any(map(marks, found))
    assert [v.point.name for v in found if v.sweep] == ["due"]


def test_a_frozen_series_loses_marks_and_sweeps_for_the_first_reason_and_asks_for_no_plan() -> None:
    world = [replace(p, uid=p.name) for p in (*daily(9), *dated(9)[1:])]
    verdicts = judged(world, 1)
    assert brake_marks(verdicts, ())[1] is not None

    found, held = hold_back(verdicts, clock=None, frozen=["one", "two"], released=())

    assert held is None
    assert found == [freeze(v, "one") for v in verdicts]
    assert not any(v.sweep or marks(v) for v in found)


def test_a_series_that_nothing_else_holds_is_measured() -> None:
    verdicts = judged(daily(9), 1)

    found, held = hold_back(verdicts, clock=None, frozen=(), released=())
    assert (found, held) == brake_marks(verdicts, ())
    assert held is not None

    released, none = hold_back(verdicts, clock=None, frozen=(), released={held.plan})
    assert none is None
    assert sum(map(marks, released)) == 8
