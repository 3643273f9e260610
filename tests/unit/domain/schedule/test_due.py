"""Each slot runs once, or is counted once as missed with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backstay.api.schedule import MISSED_MAX, MissedSlots, MissReason
from backstay.domain.schedule.cron import Schedule
from backstay.domain.schedule.due import COUNT_LIMIT, Due, Known, due, with_missed
from backstay.domain.schedule.slots import Timing, Window

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def at(hour: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{hour}Z")


HOURLY = Timing(Schedule.parse("@hourly", "UTC"))
OFFICE = Window(Schedule.parse("0 8 * * *", "UTC"), 10 * HOUR)
BEGIN = at("01T00:00")


def known(last_slot: str | None = None, *, begin: datetime = BEGIN, **values: Any) -> Known:
    return Known(begin=begin, last_slot=at(last_slot) if last_slot else None, **values)


def looked(now: str, facts: Known, timing: Timing = HOURLY, busy: str | None = None) -> Due:
    return due(timing, facts, now=at(now), busy=at(busy) if busy else None)


def missed(reason: MissReason, count: int, first: str, last: str) -> MissedSlots:
    return MissedSlots(reason=reason, count=count, first=at(first), last=at(last))


def test_a_slot_is_due_at_its_time_and_the_next_run_is_the_one_after() -> None:
    assert looked("22T05:00", known("22T04:00")) == Due(
        slot=at("22T05:00"), passed=at("22T05:00"), missed=(), next_run=at("22T06:00")
    )


def test_one_slot_is_caught_up_after_downtime_and_the_others_are_reported() -> None:
    assert looked("22T05:10", known("22T01:00")) == Due(
        slot=at("22T05:00"),
        passed=at("22T05:00"),
        missed=(missed(MissReason.COALESCED, 3, "22T02:00", "22T04:00"),),
        next_run=at("22T06:00"),
    )


def test_slots_past_their_deadline_are_reported_as_such() -> None:
    timing = replace(HOURLY, deadline=90 * MINUTE)
    found = looked("22T05:10", known("22T01:00"), timing)
    assert found.slot == at("22T05:00")
    assert found.missed == (
        missed(MissReason.DEADLINE_EXCEEDED, 2, "22T02:00", "22T03:00"),
        missed(MissReason.COALESCED, 1, "22T04:00", "22T04:00"),
    )


def test_the_newest_slot_is_missed_when_its_own_deadline_is_over() -> None:
    timing = replace(HOURLY, deadline=30 * MINUTE)
    assert looked("22T05:31", known("22T03:00"), timing) == Due(
        slot=None,
        passed=at("22T05:00"),
        missed=(missed(MissReason.DEADLINE_EXCEEDED, 2, "22T04:00", "22T05:00"),),
        next_run=at("22T06:00"),
    )
    assert looked("22T05:30", known("22T03:00"), timing).slot == at("22T05:00")


def test_the_deadline_counts_from_the_start_with_its_jitter() -> None:
    timing = replace(HOURLY, deadline=30 * MINUTE, offset=20 * MINUTE)
    early = looked("22T05:19", known("22T04:00"), timing)
    assert (early.slot, early.passed, early.next_run) == (None, None, at("22T05:20"))
    assert looked("22T05:20", known("22T04:00"), timing).slot == at("22T05:00")
    assert looked("22T05:50", known("22T04:00"), timing).slot == at("22T05:00")
    assert looked("22T05:51", known("22T04:00"), timing).slot is None


@pytest.mark.parametrize(
    "facts",
    [
        known("22T05:00"),
        known(begin=at("22T05:00")),
        known("22T04:00", begin=at("22T05:00")),
        known("22T04:00", recorded=[at("22T03:00"), at("22T05:00")]),
    ],
    ids=["lastSlot", "begin", "begin after lastSlot", "record"],
)
def test_a_slot_is_done_up_to_the_newest_of_what_is_known(facts: Known) -> None:
    found = looked("22T05:10", facts)
    assert (found.slot, found.missed, found.next_run) == (None, (), at("22T06:00"))


def test_what_a_killed_operator_did_not_count_is_counted_by_the_next() -> None:
    # given one killed after it made the Backup of 05:00, and before it wrote the status
    facts = known("22T01:00", recorded=[at("22T05:00")])
    # when the next one looks, then it runs nothing twice, and counts what was passed over
    found = looked("22T05:11", facts, busy="22T05:00")
    assert (found.slot, found.passed) == (None, at("22T05:00"))
    assert found.missed == (missed(MissReason.COALESCED, 3, "22T02:00", "22T04:00"),)
    # and whoever reads that status counts nothing again
    again = looked("22T05:12", replace(facts, last_slot=at("22T05:00")))
    assert (again.slot, again.passed, again.missed) == (None, None, ())


def test_a_slot_that_ran_out_of_turn_is_not_counted_as_missed() -> None:
    facts = known("22T01:00", recorded=[at("22T03:00")])
    assert looked("22T05:11", facts).missed == (
        missed(MissReason.COALESCED, 2, "22T02:00", "22T04:00"),
    )


def test_a_slot_waits_for_the_run_before_it_and_says_so() -> None:
    found = looked("22T05:10", known("22T04:00"), busy="22T04:00")
    assert found == Due(None, None, (), next_run=at("22T05:00"), waits=True)


def test_a_slot_that_a_newer_one_overtakes_while_it_waits_overlapped() -> None:
    assert looked("22T06:10", known("22T04:00"), busy="22T04:00") == Due(
        slot=None,
        passed=at("22T05:00"),
        missed=(missed(MissReason.OVERLAP, 1, "22T05:00", "22T05:00"),),
        next_run=at("22T06:00"),
        waits=True,
    )


def test_a_slot_whose_deadline_ends_while_it_waits_overlapped() -> None:
    daily = Timing(Schedule.parse("@daily", "UTC"), deadline=HOUR)
    found = looked("22T01:01", known("21T00:00"), daily, busy="21T00:00")
    assert found.missed == (missed(MissReason.OVERLAP, 1, "22T00:00", "22T00:00"),)
    assert (found.slot, found.next_run, found.waits) == (None, at("23T00:00"), False)


def test_a_slot_in_a_blackout_waits_for_its_end() -> None:
    timing = Timing(Schedule.parse("0 9 * * *", "UTC"), deadline=10 * HOUR, windows=(OFFICE,))
    waiting = looked("22T09:30", known("21T09:00"), timing)
    assert waiting == Due(None, None, (), next_run=at("22T18:00"))
    assert looked("22T18:00", known("21T09:00"), timing).slot == at("22T09:00")


def test_slots_that_wait_for_one_blackout_start_as_one_and_the_others_are_reported() -> None:
    timing = replace(HOURLY, windows=(OFFICE,))
    found = looked("22T18:00", known("22T07:00"), timing)
    assert found.slot == at("22T18:00")
    assert found.missed == (missed(MissReason.BLACKOUT, 10, "22T08:00", "22T17:00"),)


def test_a_blackout_that_outlasts_the_deadline_costs_the_slot_when_that_is_over() -> None:
    # given six hours of deadline, and a person who may still lift the blackout
    timing = Timing(Schedule.parse("0 9 * * *", "UTC"), windows=(OFFICE,))
    waiting = looked("22T14:59", known("21T09:00"), timing)
    assert (waiting.slot, waiting.passed) == (None, None)
    lifted = looked("22T14:59", known("21T09:00"), replace(timing, windows=()))
    assert lifted.slot == at("22T09:00")
    # when nobody did
    found = looked("22T15:01", known("21T09:00"), timing)
    assert found.missed == (missed(MissReason.BLACKOUT, 1, "22T09:00", "22T09:00"),)


def test_a_window_is_not_blamed_for_a_start_that_nobody_made_after_it() -> None:
    timing = Timing(Schedule.parse("0 17 * * *", "UTC"), windows=(OFFICE,))
    found = looked("22T23:30", known("21T17:00"), timing)
    assert found.missed == (missed(MissReason.DEADLINE_EXCEEDED, 1, "22T17:00", "22T17:00"),)


def test_nothing_starts_in_a_blackout_that_began_since() -> None:
    # given a slot before the window, and an operator that comes back inside it
    timing = replace(HOURLY, windows=(OFFICE,), deadline=20 * HOUR)
    found = looked("22T08:10", known("22T05:00"), timing)
    assert (found.slot, found.next_run) == (None, at("22T18:00"))
    assert found.missed == (missed(MissReason.COALESCED, 2, "22T06:00", "22T07:00"),)


def test_a_clock_set_back_runs_no_slot_twice_and_announces_none_that_is_done() -> None:
    for facts in (known("22T05:00"), known("22T02:00", recorded=[at("22T05:00")])):
        found = looked("22T03:10", facts)
        assert (found.slot, found.next_run) == (None, at("22T06:00"))
        assert found.passed is None


def test_months_of_downtime_are_counted_up_to_the_limit_and_reach_to_the_end() -> None:
    timing = Timing(Schedule.parse("* * * * *", "UTC"))
    facts = Known(begin=datetime(2020, 1, 1, tzinfo=UTC))
    found = due(timing, facts, now=at("22T05:10"), busy=None)
    assert found.slot == at("22T05:10")
    (entry,) = found.missed
    assert (entry.reason, entry.count) == (MissReason.DEADLINE_EXCEEDED, COUNT_LIMIT)
    assert entry.last == at("22T05:09")


def hour(number: int, reason: MissReason = MissReason.BLACKOUT) -> MissedSlots:
    slot = BEGIN + number * HOUR
    return MissedSlots(reason=reason, count=1, first=slot, last=slot)


def test_slots_missed_in_a_row_for_one_reason_are_one_entry() -> None:
    reported: tuple[MissedSlots, ...] = ()
    for number in range(1, 5):
        reported = with_missed(reported, (hour(number),), reported[-1].last if reported else None)
    assert reported == (
        MissedSlots(reason=MissReason.BLACKOUT, count=4, first=at("01T01:00"), last=at("01T04:00")),
    )


@pytest.mark.parametrize(
    "more",
    [
        lambda: with_missed((hour(1),), (hour(3),), hour(2).last),
        lambda: with_missed((hour(1),), (hour(2, MissReason.OVERLAP),), hour(1).last),
    ],
    ids=["a run in between", "another reason"],
)
def test_another_reason_or_a_run_in_between_begins_an_entry(
    more: Callable[[], tuple[MissedSlots, ...]],
) -> None:
    assert len(more()) == 2


def test_only_the_newest_entries_stay() -> None:
    reported = with_missed((), tuple(hour(2 * n) for n in range(20)), None)
    assert [e.first for e in reported] == [BEGIN + 2 * n * HOUR for n in range(20 - MISSED_MAX, 20)]
