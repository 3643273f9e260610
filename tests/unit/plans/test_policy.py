"""A policy: which slot runs now, and what its status says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backstay.api.common import changed
from backstay.api.policy import PolicySpec, PolicyStatus
from backstay.api.schedule import Blackout, Schedule
from backstay.domain import policy
from backstay.domain.errors import UserError


def at(day_hour: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{day_hour}Z")


NOW = at("22T01:00")
SLOT = at("22T00:32")
YESTERDAY = at("21T00:32")


def spec(
    cron: str | None = "32 0 * * *",
    zone: str = "UTC",
    timing: dict[str, Any] | None = None,
    **values: Any,
) -> PolicySpec:
    # Not validated: an older server may hold what today's rules refuse.
    schedule = Schedule.model_construct(
        cron=cron or "", time_zone=zone, starting_deadline=timedelta(hours=6), **(timing or {})
    )
    wanted = PolicySpec.model_validate({"source": {"claims": {"names": ["data"]}}, **values})
    return changed(wanted, schedule=schedule if cron else None)


def seen(wanted: PolicySpec | None, **values: Any) -> policy.Seen:
    defaults: dict[str, Any] = {
        "now": NOW,
        "namespace": "shop",
        "name": "shop",
        "created": at("01T12:00"),
        "edited": at("01T12:00"),
        "generation": 3,
        "status": PolicyStatus(last_slot=YESTERDAY),
        "spec": wanted,
        "problem": None,
    }
    return policy.Seen(**defaults | values)


def ran(
    slot: datetime | None, *, finished: bool, started: datetime | None = None
) -> policy.RunSeen:
    return policy.RunSeen("r", slot, finished, started)


def ready(decision: policy.Decision) -> tuple[str, str, str]:
    (condition,) = decision.status.conditions
    assert (condition.type, condition.observed_generation) == ("Ready", 3)
    return condition.status, condition.reason, condition.message


def test_a_slot_that_is_due_is_run_and_the_next_one_told() -> None:
    decision = policy.decide(seen(spec()))

    assert decision.slot == SLOT
    assert decision.status.last_slot == SLOT
    assert decision.status.next_run == "2026-11-23 00:32"
    assert decision.status.observed_generation == 3
    assert ready(decision) == ("True", "Valid", "the policy is valid")


def test_a_schedule_denser_than_the_finest_rule_is_told_and_ready_stays_true() -> None:
    hourly = spec("@hourly", retention={"daily": 7})

    status, reason, message = ready(policy.decide(seen(hourly)))

    assert (status, reason) == ("True", "Valid")
    assert message == (
        "the policy is valid, but its schedule is denser than its finest rule: daily keeps one of "
        "up to 24 points a day, and the others are marked for deletion; to keep more, set hourly, "
        "last or within"
    )
    suspended = policy.decide(seen(changed(hourly, suspend=True)))
    assert ready(suspended)[2].startswith("the policy is valid and suspended, but its schedule is")
    assert ready(policy.decide(seen(spec(retention={"daily": 7}))))[2] == "the policy is valid"


def test_nothing_is_run_between_two_slots() -> None:
    decision = policy.decide(seen(spec(), status=PolicyStatus(last_slot=SLOT)))

    assert (decision.slot, decision.status.last_slot) == (None, SLOT)


@pytest.mark.parametrize(
    ("now", "after"),
    [
        (at("22T23:32"), timedelta(hours=1)),
        (at("22T12:00"), policy.LONGEST_WAIT),
        (at("23T00:31"), timedelta(minutes=1)),
    ],
)
def test_the_policy_is_looked_at_again_at_its_next_slot_or_within_an_hour(
    now: datetime, after: timedelta
) -> None:
    decision = policy.decide(seen(spec(), now=now, status=PolicyStatus(last_slot=SLOT)))

    assert decision.after == after


def test_the_next_run_is_told_in_the_policys_zone() -> None:
    decision = policy.decide(seen(spec(zone="Asia/Kolkata")))

    assert decision.status.next_run == "2026-11-23 00:32"


@pytest.mark.parametrize(
    "known",
    [
        {"status": PolicyStatus(last_slot=SLOT)},
        {"runs": [ran(SLOT, finished=True)]},
        {"runs": [ran(SLOT, finished=False)]},
        {"slots": [SLOT]},
        {"created": SLOT},
        {"status": PolicyStatus(last_slot=YESTERDAY, resumed_at=at("22T00:40"))},
    ],
    ids=["lastSlot", "finished record", "running record", "artifact", "created", "resumed"],
)
def test_a_slot_that_anything_knows_as_done_is_not_run_again(known: dict[str, Any]) -> None:
    assert policy.decide(seen(spec(), **known)).slot is None


def test_a_slot_past_its_starting_deadline_is_passed_over() -> None:
    decision = policy.decide(seen(spec(), now=at("22T06:33")))

    assert (decision.slot, decision.status.last_slot) == (None, SLOT)


def test_only_the_newest_slot_is_caught_up() -> None:
    decision = policy.decide(seen(spec("*/10 * * * *"), now=at("22T00:59")))

    assert decision.slot == at("22T00:50")


def test_a_slot_waits_while_a_scheduled_run_is_unfinished() -> None:
    before = PolicyStatus(last_slot=YESTERDAY)

    decision = policy.decide(seen(spec(), runs=[ran(YESTERDAY, finished=False)]))

    assert (decision.slot, decision.after) == (None, policy.OVERLAP_POLL)
    assert decision.status.last_slot == before.last_slot


def test_an_ad_hoc_run_holds_up_no_slot() -> None:
    assert policy.decide(seen(spec(), runs=[ran(None, finished=False)])).slot == SLOT


def test_a_suspended_policy_runs_nothing_and_tells_no_next_run() -> None:
    told = PolicyStatus(last_slot=YESTERDAY, next_run="2026-11-22 00:32")

    decision = policy.decide(seen(spec(suspend=True), status=told))

    assert (decision.slot, decision.after) == (None, None)
    assert (decision.status.suspended, decision.status.next_run) == (True, None)
    assert ready(decision) == ("True", "Valid", "the policy is valid and suspended")


def test_an_unsuspended_policy_catches_nothing_up() -> None:
    suspended = PolicyStatus(last_slot=YESTERDAY, suspended=True)

    decision = policy.decide(seen(spec(), status=suspended, edited=NOW))

    assert (decision.slot, decision.missed) == (None, ())
    assert (decision.status.suspended, decision.status.resumed_at) == (False, NOW)
    later = policy.decide(seen(spec(), status=decision.status, now=at("23T00:32")))
    assert later.slot == at("23T00:32")


@pytest.mark.parametrize("cron", [None, "61 0 * * *"], ids=["no schedule", "bad schedule"])
def test_suspend_is_remembered_also_while_there_is_no_schedule_to_stop(cron: str | None) -> None:
    stopped = policy.decide(seen(spec(cron, suspend=True))).status

    decision = policy.decide(seen(spec(), status=stopped, edited=NOW))

    assert stopped.suspended
    assert (decision.slot, decision.status.resumed_at) == (None, NOW)


@pytest.mark.parametrize(
    ("cron", "zone", "reason", "words"),
    [
        ("0 32 0 * * *", "UTC", "InvalidSchedule", "spec.schedule.cron: '0 32 0 * * *' has 6"),
        ("0 0 31 2 *", "UTC", "InvalidSchedule", "spec.schedule.cron: '0 0 31 2 *'"),
        ("0 0 * * *", "Mars/Olympus", "InvalidTimeZone", "spec.schedule.timeZone: 'Mars/Olympus'"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_told_and_not_run(
    cron: str, zone: str, reason: str, words: str
) -> None:
    decision = policy.decide(seen(spec(cron, zone), status=PolicyStatus(next_run="soon")))

    status, found, message = ready(decision)
    assert (status, found) == ("False", reason)
    assert message.startswith(words)
    assert (decision.slot, decision.after, decision.status.next_run) == (None, None, None)


def test_a_problem_is_told_and_the_slot_runs_so_that_its_failure_is_on_record() -> None:
    problem = UserError("ClaimNotFound", "spec.source.claims.names: there is no claim data")

    decision = policy.decide(seen(spec(), problem=problem))

    assert ready(decision) == ("False", "ClaimNotFound", problem.message)
    assert decision.slot == SLOT


def test_a_spec_that_cannot_be_read_runs_nothing() -> None:
    problem = UserError("InvalidSpec", "spec.source: Field required")

    decision = policy.decide(seen(None, problem=problem))

    assert ready(decision) == ("False", "InvalidSpec", problem.message)
    assert (decision.slot, decision.after) == (None, None)


def test_a_policy_without_schedule_is_valid_and_runs_nothing() -> None:
    decision = policy.decide(seen(spec(None)))

    assert ready(decision)[0] == "True"
    assert (decision.slot, decision.after, decision.status.next_run) == (None, None, None)


def test_an_unchanged_world_changes_no_status() -> None:
    first = policy.decide(seen(spec(), slots=[SLOT]))

    again = policy.decide(seen(spec(), slots=[SLOT], status=first.status, now=at("22T01:30")))

    assert again.status == first.status


def test_series_are_counted_per_claim_and_forgotten_with_their_points() -> None:
    points = [
        policy.GoodPoint("logs", at("21T00:33")),
        policy.GoodPoint("data", at("20T00:33")),
        policy.GoodPoint("data", at("22T00:33")),
        policy.GoodPoint("data", at("21T00:33")),
    ]

    full = policy.decide(seen(spec(), points=points)).status
    empty = policy.decide(seen(spec(), status=full)).status

    assert [(s.claim, s.good, s.newest) for s in full.series] == [
        ("data", 3, at("22T00:33")),
        ("logs", 1, at("21T00:33")),
    ]
    assert (full.good, full.last_success) == (4, at("22T00:33"))
    assert (empty.series, empty.good, empty.last_success) == ((), 0, None)


def test_the_last_run_is_the_newest_that_started() -> None:
    runs = [
        ran(YESTERDAY, finished=True, started=at("21T00:32")),
        ran(None, finished=True, started=at("21T09:00")),
        ran(SLOT, finished=False),
    ]

    told = policy.decide(seen(spec(), runs=runs)).status
    forgotten = policy.decide(seen(spec(), status=told)).status

    assert told.last_run == forgotten.last_run == at("21T09:00").astimezone(UTC)


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
