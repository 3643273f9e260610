"""A clock that jumped holds what deletes, for a day, and is reported in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain import clock_trust, labels
from backstay.domain.clock_trust import GAP, HELD, STEP, Jump, Reading
from backstay.domain.retention.brakes import Brake

NOW = datetime(2026, 11, 30, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def brake(note: str | None, now: datetime) -> Brake | None:
    return clock_trust.brake(note, now, namespace="backstay", lease="backstay")


@pytest.mark.parametrize(
    ("elapsed", "said", "jumped"),
    [
        (5.0, 5 * SECOND, False),
        (5.0, STEP, False),
        (5.0, STEP + 6 * SECOND, True),
        (5.0, 8 * HOUR, True),
        (5.0, -8 * HOUR, True),
        (5.0, timedelta(days=400), True),
        (3600.0, HOUR, False),
        (3600.0, timedelta(0), True),
    ],
)
def test_a_clock_that_says_another_time_than_has_passed_has_jumped(
    elapsed: float, said: timedelta, jumped: bool
) -> None:
    jump = clock_trust.stepped(Reading(NOW, 100.0), Reading(NOW + said, 100.0 + elapsed))
    assert (jump is not None) is jumped
    if jump is not None:
        expected = NOW + timedelta(seconds=elapsed)
        assert jump == Jump(NOW + said, expected, running=True)


@pytest.mark.parametrize(
    ("since", "jumped"),
    [
        (timedelta(0), False),
        (-STEP, False),
        (-STEP - SECOND, True),
        (GAP, False),
        (GAP + SECOND, True),
        (timedelta(days=400), True),
    ],
)
def test_at_a_start_what_the_lease_says_must_be_near(since: timedelta, jumped: bool) -> None:
    assert (clock_trust.found(NOW - since, NOW) is not None) is jumped


MESSAGES = [
    (
        Jump(NOW + 8 * HOUR, NOW, running=True),
        "the operator's clock was set ahead by 8h, to 2026-11-30T13:00:00Z: nothing is marked or "
        "swept until 2026-12-01T13:00:00Z. Check the time of the nodes; if it is right now, and "
        "marks and dates may be followed at once, run: kubectl annotate lease backstay -n backstay "
        "backstay.dev/clock-jumped-",
    ),
    (Jump(NOW - HOUR, NOW, running=True), "was set back by 1h, to 2026-11-30T04:00:00Z: nothing"),
    (
        Jump(NOW, NOW - 7 * HOUR, running=False),
        "the operator was down for 7h until 2026-11-30T05:00:00Z, or its clock was set ahead "
        "meanwhile: nobody can know: nothing is marked",
    ),
    (
        Jump(NOW, NOW + 7 * HOUR, running=False),
        "the operator's clock said 2026-11-30T05:00:00Z at its start, and 2026-11-30T12:00:00Z, "
        "which is 7h later, when the operator last ran: nothing",
    ),
]


@pytest.mark.parametrize(("jump", "words"), MESSAGES)
def test_a_jump_is_reported_with_its_size_its_end_and_the_way_on(jump: Jump, words: str) -> None:
    held = brake(clock_trust.to_note(jump), jump.seen + HOUR)
    assert held is not None
    assert held.reason == "ClockJumped"
    assert words in held.message


def test_a_jump_holds_for_a_day_and_its_words_stay_the_same() -> None:
    note = clock_trust.to_note(Jump(NOW, NOW - 8 * HOUR, running=True))
    assert brake(note, NOW) == brake(note, NOW + HELD - SECOND) is not None
    assert brake(note, NOW + HELD) is None
    # a clock that was set back meanwhile does not end it
    assert brake(note, NOW - timedelta(days=9)) is not None
    assert brake(None, NOW) is None


@pytest.mark.parametrize(
    "note",
    ["", "{}", "[]", "null", "7", "tomorrow", '{"seen": 1, "expected": 2, "running": true}',
     '{"seen": "2026-11-30t05:00:00", "expected": "x", "running": true}',
     '{"seen": "9999-12-31T23:59:59Z", "expected": "9999-12-31T23:59:59Z", "running": true}'],
)  # fmt: skip
def test_a_note_that_cannot_be_read_holds_and_says_how_to_take_it_off(note: str) -> None:
    held = brake(note, NOW)
    assert held is not None
    assert "cannot be read: nothing is marked or swept" in held.message
    assert f"kubectl annotate lease backstay -n backstay {labels.CLOCK_JUMPED}-" in held.message


@given(
    st.timedeltas(-timedelta(days=9000), timedelta(days=900_000)).map(lambda d: NOW + d),
    st.timedeltas(-timedelta(days=9000), timedelta(days=9000)),
    st.booleans(),
)
def test_a_note_says_what_was_noted(seen: datetime, off: timedelta, running: bool) -> None:
    jump = Jump(seen.replace(microsecond=0), (seen + off).replace(microsecond=0), running)
    assert clock_trust.from_note(clock_trust.to_note(jump)) == jump
    skipped = clock_trust.skipped(clock_trust.to_note(jump))
    assert (skipped is not None) is (running and jump.seen > jump.expected)


@given(st.lists(st.tuples(st.floats(0, 86400), st.timedeltas(-20 * HOUR, 20 * HOUR)), max_size=8))
def test_a_clock_that_runs_with_the_time_never_jumps_and_one_that_does_not_always_does(
    steps: list[tuple[float, timedelta]],
) -> None:
    reading = Reading(NOW, 0.0)
    for elapsed, off in steps:
        passed = timedelta(seconds=elapsed)
        then = reading.monotonic + elapsed
        right = clock_trust.stepped(reading, Reading(reading.wall + passed, then))
        moved = Reading(reading.wall + passed + off, then)
        assert right is None
        assert (clock_trust.stepped(reading, moved) is not None) is (abs(off) > STEP)
        reading = moved
