"""A policy whose schedule is moved by jitter, by blackouts, and by the people who edit it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.plans.policies import NOW, SLOT, YESTERDAY, at, ran, ready, seen, spec

from backstay.api.common import changed
from backstay.api.policy import PolicySpec, PolicyStatus
from backstay.api.schedule import Blackout, MissedSlots, MissReason
from backstay.domain import policy


def test_the_next_run_is_told_with_its_share_of_jitter() -> None:
    jittered = spec(timing={"jitter": timedelta(minutes=10)})
    before = PolicyStatus(last_slot=YESTERDAY)

    waiting = policy.decide(seen(jittered, now=SLOT, status=before))
    started = policy.decide(seen(jittered, now=SLOT + timedelta(seconds=26), status=before))

    assert (waiting.slot, waiting.status.next_run) == (None, "2026-11-22 00:32:26")
    assert (waiting.status.last_slot, waiting.after) == (YESTERDAY, timedelta(seconds=26))
    assert (started.slot, started.status.next_run) == (SLOT, "2026-11-23 00:32:26")


def test_a_changed_jitter_or_blackout_takes_effect_on_a_slot_that_waits() -> None:
    waits = seen(spec(timing={"jitter": timedelta(minutes=30)}), now=at("22T00:33"))
    waiting = policy.decide(waits)
    assert (waiting.slot, waiting.status.next_run) == (None, "2026-11-22 00:33:20")

    window = Blackout(start="0 0 22 * *", duration=timedelta(hours=2))
    closed = policy.decide(
        seen(spec(timing={"blackouts": (window,)}), now=waits.now, status=waiting.status)
    )
    assert (closed.slot, closed.status.next_run) == (None, "2026-11-22 02:00")

    opened = policy.decide(seen(spec(), now=waits.now, status=closed.status))
    assert (opened.slot, opened.status.next_run) == (SLOT, "2026-11-23 00:32")


def run_through(
    before: PolicySpec, after: PolicySpec, *, edited: datetime, looks: list[datetime]
) -> list[datetime | None]:
    """What is started at each look; the edit is seen at the first one after it."""
    status = policy.decide(seen(before, status=PolicyStatus(last_slot=YESTERDAY))).status
    status = changed(status, last_slot=YESTERDAY)
    found: list[datetime | None] = []
    for now in looks:
        known: dict[str, Any] = {"edited": edited} if now >= edited else {}
        now_spec = after if now >= edited else before
        decision = policy.decide(seen(now_spec, now=now, status=status, **known))
        status = decision.status
        found.append(decision.slot)
    return found


@pytest.mark.parametrize("seconds", [0, 1, 3600], ids=["at once", "soon", "after downtime"])
def test_a_schedule_moved_to_an_earlier_hour_fires_no_slot_of_before_the_edit(seconds: int) -> None:
    # given 02:00, moved to 01:00 at 01:30
    edited = at("22T01:30")
    looks = [edited + timedelta(seconds=seconds), at("22T03:00"), at("23T01:00")]

    started = run_through(spec("0 2 * * *"), spec("0 1 * * *"), edited=edited, looks=looks)

    assert started == [None, None, at("23T01:00")]


def test_a_schedule_moved_to_a_later_hour_runs_then_also_if_nobody_saw_the_edit() -> None:
    # given 02:00, moved to 02:30 at 01:30, and an operator that comes back at 03:00
    started = run_through(
        spec("0 2 * * *"), spec("30 2 * * *"), edited=at("22T01:30"), looks=[at("22T03:00")]
    )

    assert started == [at("22T02:30")]


def test_a_slot_of_the_old_schedule_that_has_not_started_is_dropped_and_not_missed() -> None:
    before = spec("0 1 * * *", timing={"jitter": timedelta(hours=1)})
    told = policy.decide(seen(before, now=at("22T01:01"))).status
    assert told.next_run == "2026-11-22 01:02:40"

    after = spec("0 3 * * *", timing={"jitter": timedelta(hours=1)})
    edited = policy.decide(seen(after, now=at("22T01:02"), edited=at("22T01:02"), status=told))
    later = policy.decide(
        seen(after, now=at("22T03:10"), edited=at("22T01:02"), status=edited.status)
    )

    assert (edited.slot, edited.missed, edited.status.next_run) == (None, (), "2026-11-22 03:02:40")
    assert (later.slot, later.missed) == (at("22T03:00"), ())


def test_another_zone_is_another_schedule() -> None:
    told = policy.decide(seen(spec("0 2 * * *"), status=PolicyStatus(last_slot=YESTERDAY)))
    # 02:00 in Vienna was at 01:00 UTC
    moved = policy.decide(
        seen(
            spec("0 2 * * *", "Europe/Vienna"),
            now=at("22T01:30"),
            edited=at("22T01:30"),
            status=changed(told.status, last_slot=YESTERDAY),
        )
    )

    assert (moved.slot, moved.status.next_run) == (None, "2026-11-23 02:00")


def test_the_same_schedule_in_other_words_is_no_change() -> None:
    told = policy.decide(seen(spec("0 0 * * *"), now=at("21T12:00"))).status

    decision = policy.decide(
        seen(spec("@daily"), now=at("22T00:00"), edited=at("22T00:00"), status=told)
    )

    assert decision.slot == at("22T00:00")


def test_a_schedule_that_was_mended_starts_from_its_mending() -> None:
    told = policy.decide(seen(spec("61 0 * * *"), now=at("21T12:00"))).status

    decision = policy.decide(seen(spec(), edited=at("22T00:50"), status=told))

    assert (decision.slot, decision.missed) == (None, ())


def test_a_policy_that_was_unsuspended_while_nobody_ran_catches_up_what_came_after() -> None:
    told = policy.decide(seen(spec(suspend=True), now=at("21T12:00"))).status

    decision = policy.decide(seen(spec(), edited=at("22T00:30"), status=told))

    assert (decision.slot, decision.status.resumed_at) == (SLOT, at("22T00:30"))


def test_what_was_missed_is_in_the_status_and_told_once_per_row_of_slots() -> None:
    window = Blackout(start="0 8 * * *", duration=timedelta(hours=10))
    office = spec("@hourly", timing={"blackouts": (window,)})
    status = PolicyStatus(last_slot=at("22T07:00"))
    told: list[tuple[str, datetime]] = []
    for hour in range(8, 19):
        decision = policy.decide(seen(office, now=at(f"22T{hour:02d}:00"), status=status))
        status = decision.status
        told += [(m.reason, m.first) for m in decision.news]
        assert sum(m.count for m in decision.missed) == (hour > 8)

    assert decision.slot == at("22T18:00")
    assert told == [("Blackout", at("22T08:00"))]
    (entry,) = status.missed
    assert (entry.count, entry.first, entry.last) == (10, at("22T08:00"), at("22T17:00"))


def test_blackouts_that_let_nothing_start_make_the_policy_not_ready() -> None:
    window = Blackout(start="@daily", duration=timedelta(days=1))

    decision = policy.decide(seen(spec(timing={"blackouts": (window,)})))

    status, reason, message = ready(decision)
    assert (status, reason) == ("False", "NothingCanStart")
    assert message.startswith("spec.schedule.blackouts: no slot of '32 0 * * *' in sight can start")
    assert (decision.status.next_run, decision.after) == (None, policy.LONGEST_WAIT)


def test_jitter_that_is_long_for_its_schedule_is_told_beside_other_warnings() -> None:
    dense = spec("@hourly", timing={"jitter": timedelta(hours=2)}, retention={"daily": 7})

    status, _, message = ready(policy.decide(seen(dense)))

    assert status == "True"
    assert message.startswith("the policy is valid, but its schedule is denser than its finest")
    assert "; and spec.schedule.jitter of 2h is no shorter than" in message


AHEAD = "the operator's clock is over 60 s ahead of the API server's"
NEXT_YEAR = SLOT + timedelta(days=365)


def test_no_slot_starts_and_none_is_counted_while_our_clock_is_off() -> None:
    status = PolicyStatus(last_slot=YESTERDAY, schedule="32 0 * * * UTC")
    decision = policy.decide(
        seen(spec(), now=NOW + timedelta(days=365), status=status, clock=AHEAD)
    )

    assert (decision.slot, decision.missed) == (None, ())
    assert (decision.status.last_slot, decision.status.next_run) == (YESTERDAY, None)
    assert ready(decision) == (
        "False",
        "ClockSkew",
        f"{AHEAD}: no slot of the schedule is started until they agree; check the time of the "
        "nodes",
    )
    assert decision.after == policy.CLOCK_POLL


def test_a_suspension_that_was_not_seen_yet_starts_nothing_while_our_clock_is_off() -> None:
    decision = policy.decide(seen(spec(suspend=True), clock=AHEAD))
    assert (decision.slot, decision.status.last_slot) == (None, YESTERDAY)


@pytest.mark.parametrize("wanted", [spec(cron=None), spec(suspend=True)], ids=["none", "suspended"])
def test_a_policy_that_starts_nothing_anyway_says_nothing_of_our_clock(wanted: PolicySpec) -> None:
    assert ready(policy.decide(seen(wanted, clock=AHEAD)))[0] == "True"


def test_a_last_slot_of_the_far_future_is_taken_back_and_told_and_the_slot_of_now_runs() -> None:
    counted = MissedSlots(
        reason=MissReason.DEADLINE_EXCEEDED, count=364, first=SLOT, last=NEXT_YEAR
    )
    status = PolicyStatus(last_slot=NEXT_YEAR, missed=(counted,))
    decision = policy.decide(seen(spec(), status=status, runs=[ran(YESTERDAY, finished=True)]))

    assert (decision.slot, decision.ignored) == (SLOT, NEXT_YEAR)
    assert (decision.status.last_slot, decision.status.missed) == (SLOT, ())
    assert policy.decide(seen(spec(), status=decision.status)).ignored is None


@pytest.mark.parametrize(
    "known", [{"slots": [NEXT_YEAR]}, {"runs": [ran(NEXT_YEAR, finished=True)]}]
)
def test_a_record_of_the_far_future_stops_nothing_and_is_told(known: dict[str, Any]) -> None:
    decision = policy.decide(seen(spec(), **known))

    assert decision.slot == SLOT
    status, _, message = ready(decision)
    assert status == "True"
    assert "the slot 2027-11-22T00:32:00Z, which is over a day ahead" in message


def test_a_slot_of_the_next_day_that_is_known_is_done() -> None:
    tomorrow = SLOT + timedelta(days=1)
    assert policy.decide(seen(spec(), slots=[tomorrow])).slot is None
