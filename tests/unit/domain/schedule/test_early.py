"""Slots that ran before their time, again and again, by clocks that were ahead again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from backstay.api.policy_status import PolicyStatus
from backstay.domain import naming
from backstay.domain.schedule.early import Named, counting, noted, times_of

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
SLOT = NOW + HOUR
LATER = NOW + 7 * HOUR
BEGIN = NOW - 24 * HOUR


def known(status: PolicyStatus, named: list[Named], now: datetime = NOW) -> PolicyStatus:
    return noted(status, named, [], begin=BEGIN, now=now, policy="shop", zone=UTC)


def counts(status: PolicyStatus, named: list[Named], now: datetime) -> bool:
    found = counting(status.early, named, now=now, policy="shop", zone=UTC)
    return SLOT in found


def test_a_slot_that_a_second_clock_was_ahead_of_runs_at_its_own_time_as_well() -> None:
    """Its second run was before its time, too."""
    first = [Named(LATER, naming.backup_name("shop", LATER, UTC))]
    status = known(PolicyStatus(), first)
    assert status.early is not None
    assert (status.early.seen, status.early.times, times_of(status.early, SLOT)) == (NOW, 1, 1)
    again = Named(SLOT, naming.backup_names_again("shop", SLOT, UTC)[0])

    status = known(status, [*first, again])

    assert status.early is not None
    assert (status.early.times, times_of(status.early, SLOT)) == (2, 2)
    assert not counts(status, [*first, again], SLOT)
    third = Named(SLOT, naming.backup_names_again("shop", SLOT, UTC, 2)[0])
    assert third.run != again.run
    assert counts(status, [*first, again, third], SLOT)
    # and nothing is noted any more while the clocks are right
    assert known(status, [*first, again, third], SLOT) == status


def test_a_run_at_its_own_time_counts_whatever_comes_after() -> None:
    first = [Named(LATER, naming.backup_name("shop", LATER, UTC))]
    status = known(PolicyStatus(), first)
    right = Named(SLOT, naming.backup_names_again("shop", SLOT, UTC)[0])
    assert counts(status, [*first, right], SLOT)
    ahead = Named(LATER, naming.backup_names_again("shop", LATER, UTC)[0])

    status = known(status, [*first, right, ahead], SLOT + HOUR / 2)

    assert status.early is not None
    assert status.early.times == 2
    assert counts(status, [*first, right, ahead], SLOT + HOUR)
