"""A policy: which slot runs now, and what its status says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.domain.policies import NOW, SLOT, YESTERDAY, at, ran, ready, seen, spec

from backstay.api.common import changed
from backstay.api.policy_status import SHOWN_MAX, PolicyStatus
from backstay.api.store import SNAPSHOT
from backstay.domain import policy
from backstay.domain.errors import UserError
from backstay.domain.schedule import policy_seen
from backstay.domain.schedule.early import Named

ARTIFACT = Named(SLOT, "shop-20261122-0032")


def test_a_slot_that_is_due_is_run_and_the_next_one_reported() -> None:
    decision = policy.decide(seen(spec()))

    assert decision.slot == SLOT
    assert decision.status.last_slot == SLOT
    assert decision.status.next_run == "2026-11-23 00:32"
    assert decision.status.observed_generation == 3
    assert ready(decision) == ("True", "Valid", "the policy is valid")


def test_a_schedule_denser_than_the_finest_rule_is_reported_and_ready_stays_true() -> None:
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


def test_the_next_run_is_reported_in_the_policys_zone() -> None:
    decision = policy.decide(seen(spec(zone="Asia/Kolkata")))

    assert decision.status.next_run == "2026-11-23 00:32"


@pytest.mark.parametrize(
    "known",
    [
        {"status": PolicyStatus(last_slot=SLOT)},
        {"runs": [ran(SLOT, finished=True)]},
        {"runs": [ran(SLOT, finished=False)]},
        {"slots": [ARTIFACT]},
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
    (ready,) = decision.status.conditions
    assert ready.message == "the policy is valid; a slot that is due waits for the end of Backup r"
    assert decision.status.last_slot == before.last_slot


def test_a_slot_does_not_wait_for_a_run_that_only_waits_for_a_late_upload() -> None:
    late = replace(ran(YESTERDAY, finished=False), late=True)

    decision = policy.decide(seen(spec(), runs=[late]))

    assert decision.slot is not None


@pytest.mark.parametrize(
    ("stands", "after"), [(0, 5), (60, 15), (3600, 60)], ids=["just now", "a minute", "an hour"]
)
def test_a_policy_that_cannot_run_is_looked_at_again_soon_and_then_each_minute(
    stands: int, after: int
) -> None:
    problem = UserError("ClaimNotFound", "spec.source.claims.names: there is no claim data")
    first = policy.decide(seen(spec(), problem=problem, now=at("22T01:00")))
    later = at("22T01:00") + timedelta(seconds=stands)

    again = policy.decide(seen(spec(), problem=problem, status=first.status, now=later))

    assert again.after == timedelta(seconds=after)


def test_an_ad_hoc_run_holds_up_no_slot() -> None:
    assert policy.decide(seen(spec(), runs=[ran(None, finished=False)])).slot == SLOT


def test_a_suspended_policy_runs_nothing_and_reports_no_next_run() -> None:
    reported = PolicyStatus(last_slot=YESTERDAY, next_run="2026-11-22 00:32")

    decision = policy.decide(seen(spec(suspend=True), status=reported))

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
def test_a_schedule_that_cannot_be_read_is_reported_and_not_run(
    cron: str, zone: str, reason: str, words: str
) -> None:
    decision = policy.decide(seen(spec(cron, zone), status=PolicyStatus(next_run="soon")))

    status, found, message = ready(decision)
    assert (status, found) == ("False", reason)
    assert message.startswith(words)
    assert (decision.slot, decision.after, decision.status.next_run) == (None, None, None)


def test_a_problem_is_reported_and_the_slot_runs_so_that_its_failure_is_on_record() -> None:
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
    first = policy.decide(seen(spec(), slots=[ARTIFACT]))

    again = policy.decide(seen(spec(), slots=[ARTIFACT], status=first.status, now=at("22T01:30")))

    assert again.status == first.status


def test_series_are_counted_per_claim_and_forgotten_with_their_points() -> None:
    points = [
        policy_seen.GoodPoint("logs", SNAPSHOT, at("21T00:33"), "of-21"),
        policy_seen.GoodPoint("data", SNAPSHOT, at("20T00:33"), "of-20"),
        policy_seen.GoodPoint("data", SNAPSHOT, at("22T00:33"), "of-22"),
        policy_seen.GoodPoint("data", SNAPSHOT, at("21T00:33"), "of-21"),
    ]

    full = policy.decide(seen(spec(), points=points)).status
    empty = policy.decide(seen(spec(), status=full)).status

    assert [(s.source, s.good, s.newest) for s in full.series] == [
        ("data", 3, at("22T00:33")),
        ("logs", 1, at("21T00:33")),
    ]
    assert (full.good, full.last_success) == (4, at("22T00:33"))
    assert (empty.series, empty.good, empty.last_success) == ((), 0, None)


def test_of_more_series_than_a_status_shows_those_with_the_newest_points_are_shown() -> None:
    begin = at("01T00:33")
    points = [
        policy_seen.GoodPoint(f"c-{n:03}", SNAPSHOT, begin + timedelta(minutes=n), f"of-{n}")
        for n in range(300)
    ]

    status = policy.decide(seen(spec(), points=points)).status

    assert [s.source for s in status.series] == [f"c-{n:03}" for n in range(300 - SHOWN_MAX, 300)]
    assert status.good == 300
    assert PolicyStatus.model_validate(status.dump()) == status


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        ([], "22T00:33"),  # the record is not there any more, or not again yet
        ([("of-22", True)], "22T00:33"),
        ([("of-22", False)], "21T00:33"),  # still running, or partially failed
        ([("of-22", False), ("of-21", False)], None),
    ],
)
def test_only_a_complete_run_is_a_success(
    newest: list[tuple[str, bool]], expected: str | None
) -> None:
    points = [
        policy_seen.GoodPoint("data", SNAPSHOT, at(f"{d}T00:33"), f"of-{d}") for d in ("21", "22")
    ]
    runs = [
        policy_seen.RunSeen(name, None, finished=True, started=None, complete=complete)
        for name, complete in newest
    ]

    status = policy.decide(seen(spec(), points=points, runs=runs)).status

    assert status.last_success == (at(expected) if expected else None)
    assert status.good == 2


def test_the_last_run_is_the_newest_that_started() -> None:
    runs = [
        ran(YESTERDAY, finished=True, started=at("21T00:32")),
        ran(None, finished=True, started=at("21T09:00")),
        ran(SLOT, finished=False),
    ]

    reported = policy.decide(seen(spec(), runs=runs)).status
    forgotten = policy.decide(seen(spec(), status=reported)).status

    assert reported.last_run == forgotten.last_run == at("21T09:00").astimezone(UTC)
