"""A run from its creation to its admission."""

from __future__ import annotations

import pytest
from tests.support.builders import (
    NOW,
    SLOT,
    dump_status,
    minutes,
    plan,
    planned_dump,
    point_status,
    seen,
    spec,
    status,
)

from backstay.api.backup import BackupPhase, Trigger
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.point import PointResult
from backstay.domain.errors import UserError
from backstay.domain.run import machine
from backstay.domain.run.values import AT_ONCE, POLL, Decision

PENDING = status()
QUEUED = status(BackupPhase.QUEUED)
NOT_FOUND = UserError("PolicyNotFound", "spec.policy: there is no BackupPolicy shop")


def test_a_pending_run_freezes_its_plan_and_queues() -> None:
    decision = machine.decide(seen(PENDING, plan=plan()))

    assert decision.status == changed(
        PENDING, phase=BackupPhase.QUEUED, plan=plan(), started_at=NOW
    )
    assert decision.actions == ()
    assert decision.after == AT_ONCE


def test_a_policy_that_cannot_be_run_fails_the_run_with_its_own_words() -> None:
    problem = UserError("ClaimNotFound", "spec.source.claims.names: there is no claim x")

    decision = machine.decide(seen(PENDING, problem=problem))

    assert decision.status.phase is BackupPhase.FAILED
    assert decision.status.message == problem.message
    assert decision.status.completed_at == NOW
    assert decision.after is None


@pytest.mark.parametrize(
    ("age", "phase", "after"),
    [(0.1, BackupPhase.PENDING, POLL), (0.5, BackupPhase.FAILED, None)],
)
def test_a_missing_policy_is_waited_for_shortly(
    age: float, phase: BackupPhase, after: object
) -> None:
    decision = machine.decide(seen(PENDING, problem=NOT_FOUND, created=NOW - minutes(age)))

    assert decision.status.phase is phase
    assert decision.after == after


def test_a_retry_waits_for_its_time() -> None:
    waiting = changed(QUEUED, attempt=1, retry_at=NOW + minutes(1))

    decision = machine.decide(seen(waiting))

    assert decision == Decision(waiting, (), minutes(1))


def test_a_retry_that_a_clock_that_was_ahead_has_put_off_is_due() -> None:
    waiting = changed(QUEUED, attempt=1, retry_at=NOW + minutes(8 * 60))

    decision = machine.decide(seen(waiting))

    assert (decision.status.attempt, decision.status.retry_at) == (2, None)


def test_a_blocked_run_says_for_whom_it_waits() -> None:
    decision = machine.decide(seen(QUEUED, waits_for="waiting for a, b, c"))

    assert decision == Decision(changed(QUEUED, message="waiting for a, b, c"))


@pytest.mark.parametrize(
    ("dumps", "phase", "points"),
    [
        ((planned_dump(),), BackupPhase.DUMPING, ()),
        (
            (),
            BackupPhase.SNAPSHOTTING,
            (point_status(ref="data-20261122-0032-1f0c5-1", requested_at=NOW),),
        ),
    ],
)
def test_an_admitted_run_begins_an_attempt(
    dumps: object, phase: BackupPhase, points: object
) -> None:
    pools = ("driver/csi.example", "global")
    mine = changed(plan(), dumps=dumps, pools=pools)
    waiting = changed(QUEUED, plan=mine, message="waiting for a")

    decision = machine.decide(seen(waiting))

    assert decision.status == changed(
        waiting,
        phase=phase,
        attempt=1,
        attempted_at=NOW,
        message=None,
        points=points,
        pools=pools,
    )
    assert (decision.actions, decision.after) == ((), AT_ONCE)


def test_a_retry_whose_dumps_are_in_good_points_goes_straight_to_the_snapshot() -> None:
    both = plan("data", "logs", dumps=(planned_dump(),))
    retry = changed(
        QUEUED,
        plan=both,
        attempt=1,
        retry_at=NOW,
        dumps=(dump_status(state=DumpState.DONE),),
        points=(
            point_status("data", PointResult.GOOD),
            point_status("logs", PointResult.FAILED),
        ),
    )

    decision = machine.decide(seen(retry))

    assert decision.status.phase is BackupPhase.SNAPSHOTTING
    assert (decision.status.attempt, decision.status.retry_at) == (2, None)


def test_runs_queue_by_slot_and_ad_hoc_ones_by_their_creation() -> None:
    adhoc = spec(trigger=Trigger.AD_HOC, scheduled_for=None)

    assert machine.due_order(spec(), NOW, "n") == (SLOT, "n")
    assert machine.due_order(adhoc, NOW, "n") == (NOW, "n")


@pytest.mark.parametrize("phase", [p for p in BackupPhase if p.final])
def test_a_final_phase_is_never_left(phase: BackupPhase) -> None:
    over = status(phase, points=(point_status(),))

    assert machine.decide(seen(over, plan=plan(), waits_for="a")) == Decision(over)
