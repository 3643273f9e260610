"""A policy whose schedule is moved by jitter, by blackouts, and by the people who edit it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.domain.policies import SLOT, YESTERDAY, at, ready, seen, spec

from backstay.api.common import changed
from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import Blackout
from backstay.domain import policy


def test_the_next_run_is_reported_with_its_share_of_jitter() -> None:
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


def test_a_slot_of_the_old_schedule_that_has_not_started_is_dropped_and_reported() -> None:
    before = spec("0 1 * * *", timing={"jitter": timedelta(hours=1)})
    reported = policy.decide(seen(before, now=at("22T01:01"))).status
    assert reported.next_run == "2026-11-22 01:02:40"

    after = spec("0 3 * * *", timing={"jitter": timedelta(hours=1)})
    edited = policy.decide(seen(after, now=at("22T01:02"), edited=at("22T01:02"), status=reported))
    later = policy.decide(
        seen(after, now=at("22T03:10"), edited=at("22T01:02"), status=edited.status)
    )

    assert (edited.slot, edited.status.next_run) == (None, "2026-11-22 03:02:40")
    (lost,) = edited.missed
    assert (lost.reason, lost.count, lost.first) == ("Edited", 1, at("22T01:00"))
    assert (edited.news, edited.status.missed[-1]) == ((lost,), lost)
    assert (later.slot, later.missed) == (at("22T03:00"), ())


def test_another_zone_is_another_schedule() -> None:
    reported = policy.decide(seen(spec("0 2 * * *"), status=PolicyStatus(last_slot=YESTERDAY)))
    # 02:00 in Vienna was at 01:00 UTC
    moved = policy.decide(
        seen(
            spec("0 2 * * *", "Europe/Vienna"),
            now=at("22T01:30"),
            edited=at("22T01:30"),
            status=changed(reported.status, last_slot=YESTERDAY),
        )
    )

    assert (moved.slot, moved.status.next_run) == (None, "2026-11-23 02:00")


def test_the_same_schedule_in_other_words_is_no_change() -> None:
    reported = policy.decide(seen(spec("0 0 * * *"), now=at("21T12:00"))).status

    decision = policy.decide(
        seen(spec("@daily"), now=at("22T00:00"), edited=at("22T00:00"), status=reported)
    )

    assert decision.slot == at("22T00:00")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("0 2 * * *", "UTC"), ("00 2 * * *", "UTC")),
        (("0 4 * * *", "Europe/Kiev"), ("0 4 * * *", "Europe/Kyiv")),
        (("0 2 * * MON-FRI", "UTC"), ("0 2 * * 1-5", "Etc/UTC")),
        (("0 2 1-31 * *", "UTC"), ("0 02 * * 0-7", "UTC")),
    ],
)
def test_a_schedule_written_in_another_way_loses_no_slot_that_is_due(
    before: tuple[str, str], after: tuple[str, str]
) -> None:
    # given a slot of 02:00 UTC on a Monday that waits for its share of jitter, and an edit then
    jitter = {"jitter": timedelta(hours=1)}
    reported = policy.decide(seen(spec(*before, jitter), now=at("22T12:00"))).status
    edited = at("23T02:00")

    decision = policy.decide(
        seen(spec(*after, jitter), now=at("23T03:00"), edited=edited, status=reported)
    )

    assert (decision.slot, decision.missed) == (edited, ())
    assert decision.status.schedule is not None
    assert decision.status.schedule.endswith(after[1])
    assert decision.status.resumed_at == reported.resumed_at


def test_what_was_due_when_the_policy_was_suspended_is_reported() -> None:
    waits = spec("@hourly", timing={"jitter": timedelta(hours=1)})
    reported = policy.decide(seen(waits, now=at("22T01:30"), status=PolicyStatus())).status
    reported = changed(reported, last_slot=at("22T01:00"))

    stopped = policy.decide(
        seen(
            changed(waits, suspend=True), now=at("22T05:00"), edited=at("22T02:01"), status=reported
        )
    )
    again = policy.decide(
        seen(waits, now=at("22T06:30"), edited=at("22T06:10"), status=stopped.status)
    )

    (lost,) = stopped.missed
    assert (lost.reason, lost.first, lost.last) == ("Edited", at("22T02:00"), at("22T02:00"))
    assert (again.missed, again.status.missed) == ((), stopped.status.missed)


def test_what_passed_while_suspended_is_not_caught_up_though_nobody_saw_the_suspension() -> None:
    # given 02:00, suspended from 01:30 to 02:30, and an operator that was down from 01:00 to 03:00
    nightly = spec("0 2 * * *")
    reported = policy.decide(seen(nightly, now=at("22T00:50"))).status

    decision = policy.decide(
        seen(
            nightly,
            now=at("22T03:00"),
            edited=at("22T02:30"),
            resumed=at("22T02:30"),
            status=reported,
        )
    )

    assert (decision.slot, decision.status.resumed_at) == (None, at("22T02:30"))
    assert [(m.reason, m.first) for m in decision.missed] == [("Edited", at("22T02:00"))]
    later = policy.decide(
        seen(
            nightly,
            now=at("23T02:00"),
            edited=at("22T02:30"),
            resumed=at("22T02:30"),
            status=decision.status,
        )
    )
    assert (later.slot, later.missed) == (at("23T02:00"), ())


def test_slots_that_downtime_has_lost_before_an_edit_are_reported_as_such() -> None:
    reported = policy.decide(seen(spec("@hourly"), now=at("21T00:00"))).status
    reported = changed(reported, last_slot=at("21T00:00"))

    edited = policy.decide(
        seen(spec("0 3 * * *"), now=at("22T01:00"), edited=at("22T00:30"), status=reported)
    )

    assert [(m.reason, m.count) for m in edited.missed] == [
        ("DeadlineExceeded", 18), ("Edited", 6),
    ]  # fmt: skip


def test_a_schedule_that_was_mended_starts_from_its_mending() -> None:
    reported = policy.decide(seen(spec("61 0 * * *"), now=at("21T12:00"))).status

    decision = policy.decide(seen(spec(), edited=at("22T00:50"), status=reported))

    assert (decision.slot, decision.missed) == (None, ())


def test_a_policy_that_was_unsuspended_while_nobody_ran_catches_up_what_came_after() -> None:
    reported = policy.decide(seen(spec(suspend=True), now=at("21T12:00"))).status

    decision = policy.decide(seen(spec(), edited=at("22T00:30"), status=reported))

    assert (decision.slot, decision.status.resumed_at) == (SLOT, at("22T00:30"))


def test_what_was_missed_is_in_the_status_and_reported_once_per_row_of_slots() -> None:
    window = Blackout(start="0 8 * * *", duration=timedelta(hours=10))
    office = spec("@hourly", timing={"blackouts": (window,)})
    status = PolicyStatus(last_slot=at("22T07:00"))
    reported: list[tuple[str, datetime]] = []
    for hour in range(8, 19):
        decision = policy.decide(seen(office, now=at(f"22T{hour:02d}:00"), status=status))
        status = decision.status
        reported += [(m.reason, m.first) for m in decision.news]
        assert sum(m.count for m in decision.missed) == (hour > 8)

    assert decision.slot == at("22T18:00")
    assert reported == [("Blackout", at("22T08:00"))]
    (entry,) = status.missed
    assert (entry.count, entry.first, entry.last) == (10, at("22T08:00"), at("22T17:00"))


def test_blackouts_that_let_nothing_start_make_the_policy_not_ready() -> None:
    window = Blackout(start="@daily", duration=timedelta(days=1))

    decision = policy.decide(seen(spec(timing={"blackouts": (window,)})))

    status, reason, message = ready(decision)
    assert (status, reason) == ("False", "NothingCanStart")
    assert message.startswith("spec.schedule.blackouts: no slot of '32 0 * * *' in sight can start")
    assert (decision.status.next_run, decision.after) == (None, policy.LONGEST_WAIT)


def test_jitter_that_is_long_for_its_schedule_is_reported_beside_other_warnings() -> None:
    dense = spec("@hourly", timing={"jitter": timedelta(hours=2)}, retention={"daily": 7})

    status, _, message = ready(policy.decide(seen(dense)))

    assert status == "True"
    assert message.startswith("the policy is valid, but its schedule is denser than its finest")
    assert "; and spec.schedule.jitter of 2h is no shorter than" in message
