"""The brake on many marks at once, and what a policy tells of it."""

from dataclasses import replace
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.unit.domain.series import at, patched, point

from backstay.api.common import Condition
from backstay.domain import labels
from backstay.domain.brakes import (
    CONDITION,
    NOT_HELD,
    Brake,
    Held,
    brake_marks,
    clock,
    marks,
    mass_mark,
    released_plans,
    with_brake,
)
from backstay.domain.points import Point, Rules, Verdict
from backstay.domain.retention import judge

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


def test_only_the_mark_is_taken_from_a_verdict_and_the_reason_is_told() -> None:
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
    swept = [point(f"s{i}", old, delete_after="2026-11-01") for i in range(20)]
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


def test_a_released_plan_that_was_cut_off_is_finished_without_asking_again() -> None:
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
    told = brake.message.split("release-retention=")[1].split(" ")[0]
    assert released_plans(told) == {f"{i:010d}" for i in range(100)}


@pytest.mark.parametrize(
    ("text", "plans"),
    [(None, set()), ("", set()), ("a", {"a"}), (" a, b ,", {"a", "b"})],
)
def test_the_annotation_may_name_several_plans(text: str | None, plans: set[str]) -> None:
    assert released_plans(text) == plans


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, None),
        (60.0, None),
        (-60.0, None),
        (60.5, "over 60 s ahead of the API server's"),
        (-61.0, "over 60 s behind the API server's"),
        (None, "the API server does not tell its time"),
    ],
)
def test_a_clock_that_is_off_is_a_brake(seconds: float | None, told: str | None) -> None:
    brake = clock(None if seconds is None else timedelta(seconds=seconds))

    if told is None:
        assert brake is None
    else:
        assert brake is not None
        assert brake.reason == "ClockSkew"
        assert told in brake.message


def test_the_message_of_the_clock_stays_the_same_while_the_skew_moves() -> None:
    assert clock(timedelta(seconds=100)) == clock(timedelta(seconds=200))


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
    let_go = with_brake(held, CONDITION, None, NOT_HELD, generation=1, now=later)
    assert (let_go[1].status, let_go[1].reason) == ("False", "NotHeld")
    assert let_go[1].last_transition_time == later.astimezone(UTC)
