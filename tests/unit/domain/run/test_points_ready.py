"""A run until its snapshots are ready and good."""

from __future__ import annotations

from dataclasses import replace

from tests.support.builders import NOW, READY_POINT, TAKEN_POINT, minutes, point_status, seen
from tests.support.snapshot_runs import ASKED, UPLOADING, the_point

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.point import PointResult
from backstay.domain.run import machine
from backstay.domain.run.values import Decision, pause
from backstay.domain.stores.snapshots.actions import MarkFailed, MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen


def test_a_snapshot_that_is_gone_while_it_becomes_ready_fails_its_point() -> None:
    decision = machine.decide(seen(UPLOADING, points={"data": PointSeen()}))

    assert the_point(decision).message == PointSeen().lost()
    assert decision.actions == (MarkFailed("data-1"),)


def test_a_foreign_snapshot_is_never_counted_even_if_it_is_labelled_good() -> None:
    foreign = replace(READY_POINT, ours=False, result=PointResult.GOOD)

    decision = machine.decide(seen(UPLOADING, points={"data": foreign}))

    assert the_point(decision).result is PointResult.FAILED


def test_what_the_driver_says_is_reported_before_any_silence_and_at_once() -> None:
    both = replace(TAKEN_POINT, error="rate limited", silence="is X running?")

    decision = machine.decide(seen(UPLOADING, points={"data": both}))

    assert decision.status.message == "claim data: rate limited"
    ready = machine.decide(seen(decision.status, points={"data": READY_POINT}))
    assert (ready.status.phase, ready.status.message) == (BackupPhase.COMPLETED, None)


def test_a_run_without_dumps_whose_snapshot_is_ready_when_it_is_taken_ends_at_once() -> None:
    decision = machine.decide(seen(ASKED, points={"data": READY_POINT}))

    assert decision.actions == (MarkGood("data"),)
    assert (decision.status.phase, decision.after) == (BackupPhase.COMPLETED, None)
    assert the_point(decision).taken_at == READY_POINT.taken_at
    # and a process that follows one that died after the mark says the same, and marks nothing
    marked = replace(READY_POINT, result=PointResult.GOOD)
    assert machine.decide(seen(ASKED, points={"data": marked})) == replace(decision, actions=())


def test_a_ready_point_is_marked_good_and_ends_the_run() -> None:
    decision = machine.decide(seen(UPLOADING, points={"data": READY_POINT}))

    assert decision.actions == (MarkGood("data"),)
    assert the_point(decision) == changed(
        UPLOADING.points[0], result=PointResult.GOOD, bytes=1 << 30
    )
    assert (decision.status.phase, decision.after) == (BackupPhase.COMPLETED, None)


def test_a_point_that_is_good_already_is_not_marked_again() -> None:
    good = replace(READY_POINT, result=PointResult.GOOD)

    decision = machine.decide(seen(UPLOADING, points={"data": good}))

    assert (decision.actions, decision.status.phase) == ((), BackupPhase.COMPLETED)


def test_a_point_that_is_not_ready_is_waited_for() -> None:
    assert machine.decide(seen(UPLOADING, points={"data": TAKEN_POINT})) == Decision(
        UPLOADING, (), pause(minutes(1))
    )


def test_a_point_that_is_not_ready_in_time_fails() -> None:
    entry = point_status(requested_at=NOW - minutes(61), taken_at=NOW - minutes(60.1))
    old = changed(UPLOADING, points=(entry,))

    decision = machine.decide(seen(old, points={"data": replace(TAKEN_POINT, error="slow link")}))

    assert the_point(decision).message == "not ready within readyTimeout (1:00:00): slow link"


def test_a_driver_whose_clock_is_wrong_does_not_shorten_the_wait_for_readiness() -> None:
    long_ago = point_status(requested_at=NOW - minutes(2), taken_at=NOW - minutes(9000))

    decision = machine.decide(
        seen(changed(UPLOADING, points=(long_ago,)), points={"data": TAKEN_POINT})
    )

    assert the_point(decision).result is PointResult.PENDING
