"""A policy whose clocks are, or were, wrong: its slots run, and a clock is named as the cause."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.domain.policies import NOW, SLOT, YESTERDAY, at, ran, ready, seen, spec

from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.schedule import EarlyRuns, MissedSlots, MissReason
from backstay.domain import naming, policy
from backstay.domain.calendar import load_zone
from backstay.domain.schedule import policy_seen
from backstay.domain.schedule.early import EARLY, Named

AHEAD = "the operator's clock is over 60 s ahead of the API server's"
NEXT_YEAR = SLOT + timedelta(days=365)
HOUR = timedelta(hours=1)
UTC = load_zone("UTC")


def test_slots_start_while_our_clock_is_off_and_ready_names_it() -> None:
    decision = policy.decide(seen(spec(), clock=AHEAD))

    assert (decision.slot, decision.after) == (SLOT, policy.CLOCK_POLL)
    assert ready(decision) == (
        "True",
        "ClockSkew",
        f"the policy is valid, but {AHEAD}: slots start by the API server's time, and nothing is "
        "marked or swept until they agree; check the time of the nodes",
    )


@pytest.mark.parametrize("wanted", [spec(cron=None), spec(suspend=True)], ids=["none", "suspended"])
def test_a_policy_that_starts_nothing_anyway_says_nothing_of_our_clock(wanted: PolicySpec) -> None:
    decision = policy.decide(seen(wanted, clock=AHEAD))
    assert decision.slot is None
    assert ready(decision)[:2] == ("True", "Valid")
    assert AHEAD not in ready(decision)[2]


@pytest.mark.parametrize("ahead", [timedelta(hours=8), timedelta(days=365)])
def test_a_last_slot_that_is_ahead_is_taken_back_and_reported_and_the_slot_of_now_runs(
    ahead: timedelta,
) -> None:
    slot = SLOT + ahead
    counted = MissedSlots(reason=MissReason.DEADLINE_EXCEEDED, count=364, first=SLOT, last=slot)
    status = PolicyStatus(last_slot=slot, missed=(counted,))
    decision = policy.decide(seen(spec(), status=status, runs=[ran(YESTERDAY, finished=True)]))

    assert (decision.slot, decision.ignored) == (SLOT, slot)
    assert (decision.status.last_slot, decision.status.missed) == (SLOT, ())
    assert policy.decide(seen(spec(), status=decision.status)).ignored is None


def test_what_was_counted_before_a_clock_went_ahead_is_not_counted_again() -> None:
    reported = MissedSlots(
        reason=MissReason.DEADLINE_EXCEEDED, count=1, first=YESTERDAY, last=YESTERDAY
    )
    status = PolicyStatus(last_slot=SLOT + 8 * HOUR, missed=(reported,))

    decision = policy.decide(seen(spec(), status=status))

    assert (decision.slot, decision.missed, decision.status.missed) == (SLOT, (), (reported,))


@pytest.mark.parametrize(
    "known",
    [{"slots": [Named(NEXT_YEAR, "r")]}, {"runs": [ran(NEXT_YEAR, finished=True)]}],
    ids=["artifact", "record"],
)
def test_a_record_of_the_far_future_stops_nothing_and_is_reported(known: dict[str, Any]) -> None:
    decision = policy.decide(seen(spec(), **known))

    assert (decision.slot, decision.again, decision.status.early) == (SLOT, 0, None)
    status, _, message = ready(decision)
    assert status == "True"
    assert "the slot 2027-11-22T00:32:00Z, which is over a day ahead" in message


def test_a_slot_that_ran_before_its_time_runs_again_at_its_time_and_no_third_time() -> None:
    # given a nightly policy whose slot of tomorrow has run 23 hours early
    tomorrow = SLOT + timedelta(days=1)
    early = Named(tomorrow, naming.backup_name("shop", tomorrow, UTC))
    first = policy.decide(seen(spec(), slots=[early]))
    assert first.slot == SLOT
    assert first.status.early == EarlyRuns(seen=NOW, until=tomorrow)
    assert "slots up to 2026-11-23T00:32:00Z have run before their time" in ready(first)[2]

    # when its time comes
    second = policy.decide(seen(spec(), now=tomorrow, slots=[early], status=first.status))
    assert (second.slot, second.again) == (tomorrow, 1)
    # then whoever died before the status knows it by its name
    (name, _) = naming.backup_names_again("shop", tomorrow, UTC)
    runs = [early, Named(tomorrow, name)]
    killed = policy.decide(seen(spec(), now=tomorrow, slots=runs, status=first.status))
    assert (killed.slot, killed.missed, killed.status.last_slot) == (None, (), tomorrow)
    assert ready(killed)[2] == "the policy is valid"


def test_a_difference_of_the_two_clocks_is_no_clock_that_was_ahead() -> None:
    status = PolicyStatus(last_slot=SLOT)
    decision = policy.decide(seen(spec(), now=SLOT - EARLY, status=status))
    assert (decision.slot, decision.ignored, decision.status.early) == (None, None, None)


@pytest.mark.parametrize("ahead", [1, 8, 20, 30])
@pytest.mark.parametrize("cron", ["0 * * * *", "*/20 * * * *"])
def test_after_a_clock_was_ahead_every_slot_runs_at_its_time(cron: str, ahead: int) -> None:
    # given an operator and an API server that were ahead together for an hour, then were set right
    begin = at("22T00:00")
    status, runs = PolicyStatus(), list[policy_seen.RunSeen]()
    started: list[datetime] = []
    before, set_at = timedelta(minutes=51), timedelta(minutes=130)
    for minutes in range(1, 24 * 60, 10):
        elapsed = timedelta(minutes=minutes)
        wrong = timedelta(hours=ahead) if HOUR < elapsed <= set_at else timedelta(0)
        now = begin + elapsed + wrong
        decision = policy.decide(
            seen(
                spec(cron),
                now=now,
                created=begin,
                edited=begin,
                status=status,
                runs=runs,
                stepped=(begin + before, begin + HOUR + wrong) if wrong else None,
            )
        )
        status = PolicyStatus.model_validate(decision.status.dump())
        if decision.slot is not None:
            assert decision.slot <= now
            names = naming.backup_names_again if decision.again else naming.backup_names
            name = names("shop", decision.slot, UTC)[0]
            assert name not in {r.name for r in runs}
            runs.append(policy_seen.RunSeen(name, decision.slot, True, now, complete=True))
            if not wrong and elapsed > set_at:
                started.append(decision.slot)
    # then from then on it runs as if nothing had been
    step = timedelta(hours=1) if cron.startswith("0") else timedelta(minutes=20)
    assert started == [started[0] + n * step for n in range(len(started))]
    assert started[0] <= begin + set_at + step
    assert started[-1] >= at("22T23:00")
    assert {m.reason for m in status.missed} <= {MissReason.CLOCK}
    assert ready(decision)[:2] == ("True", "Valid")


def test_slots_that_a_clock_has_skipped_are_reported_as_such() -> None:
    status = PolicyStatus(last_slot=at("22T01:00"))
    # given a clock that was set from 01:10 to 08:50, and an operator that was there all the time
    decision = policy.decide(
        seen(
            spec("@hourly"),
            now=at("22T08:50"),
            status=status,
            stepped=(at("22T01:10"), at("22T08:50")),
        )
    )
    assert decision.slot == at("22T08:00")
    assert [(m.reason, m.count) for m in decision.missed] == [("Clock", 6)]


def test_a_policy_that_was_created_by_a_clock_that_was_ahead_is_not_silent_until_then() -> None:
    created = NOW + 8 * HOUR
    first = policy.decide(
        seen(spec("@hourly"), created=created, edited=created, status=PolicyStatus())
    )
    assert first.status.resumed_at == NOW

    runs = [
        policy.decide(
            seen(
                spec("@hourly"),
                now=NOW + n * HOUR,
                created=created,
                edited=created,
                status=first.status,
            )
        ).slot
        for n in (1, 7, 9)
    ]
    assert runs == [NOW + n * HOUR for n in (1, 7, 9)]
