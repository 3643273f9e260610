"""A run until its snapshots are taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import (
    NOW,
    PENDING_POINT,
    TAKEN_POINT,
    look_done,
    minutes,
    plan,
    point_status,
    seen,
)
from tests.support.snapshot_runs import ASKED, DUMPED, TAKING, UPLOADING, the_point

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.point import PointResult
from backstay.domain.errors import DataError
from backstay.domain.run import machine
from backstay.domain.run.values import LONGEST_POLL, pause
from backstay.domain.stores.snapshots.actions import MarkFailed
from backstay.domain.stores.snapshots.sights import PointSeen

WAITED = LONGEST_POLL
"""The snapshot of ASKED was asked for minutes ago."""


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (PointSeen(claim_gone=True), "there is no VolumeSnapshot of it"),
        (replace(TAKEN_POINT, ours=False), "taken by one that this run did not make"),
        (replace(TAKEN_POINT, result=PointResult.FAILED), "labelled failed"),
    ],
    ids=["claim gone", "foreign", "labelled failed"],
)
@pytest.mark.parametrize("phase", [BackupPhase.SNAPSHOTTING, BackupPhase.UPLOADING])
def test_a_point_that_is_lost_fails(phase: BackupPhase, point: PointSeen, why: str) -> None:
    of = changed(DUMPED if phase is BackupPhase.SNAPSHOTTING else UPLOADING, phase=phase)

    decision = machine.decide(seen(of, points={"data": point}, rechecks={"shop": look_done()}))

    assert the_point(decision).result is PointResult.FAILED
    assert why in (the_point(decision).message or "")
    assert decision.status.phase is BackupPhase.QUEUED
    assert decision.actions == (MarkFailed("data-1"),)


def test_a_snapshot_that_is_not_taken_yet_is_waited_for_with_its_error() -> None:
    stuck = replace(PENDING_POINT, error="driver\n is busy")

    decision = machine.decide(seen(ASKED, points={"data": stuck}))

    assert the_point(decision) == point_status(message="driver is busy")
    assert (decision.status.phase, decision.after) == (BackupPhase.SNAPSHOTTING, WAITED)
    healed = machine.decide(seen(decision.status, points={"data": PENDING_POINT}))
    assert the_point(healed).message is None


@pytest.mark.parametrize(
    ("waited", "reported"), [(0, None), (19, None), (20, "is X running?"), (3600, "is X running?")]
)
def test_a_silence_is_reported_when_it_takes_longer_than_when_all_is_well(
    waited: float, reported: str | None
) -> None:
    since = NOW - minutes(waited / 60)
    silent = replace(PENDING_POINT, silence="is X running?")
    taking = changed(TAKING, points=(point_status(requested_at=since),))
    untaken = replace(TAKEN_POINT, silence="is X running?")
    uploading = changed(UPLOADING, points=(point_status(requested_at=since, taken_at=since),))

    for of, point in ((taking, silent), (uploading, untaken)):
        if waited > 600 and of is taking:
            continue  # its deadline is over
        decision = machine.decide(seen(of, points={"data": point}))
        assert the_point(decision).message == reported
        assert decision.status.message == (f"claim data: {reported}" if reported else None)


@pytest.mark.parametrize(("error", "ending"), [("", "(0:10:00)"), ("no space", ": no space")])
def test_a_snapshot_that_is_not_taken_in_time_fails(error: str, ending: str) -> None:
    late = changed(TAKING, points=(point_status(requested_at=NOW - minutes(10.1)),))

    decision = machine.decide(seen(late, points={"data": replace(PENDING_POINT, error=error)}))

    message = the_point(decision).message or ""
    assert message.startswith("not taken within takeTimeout")
    assert message.endswith(ending)


def test_a_taken_point_without_dumps_goes_on_to_wait_until_it_is_ready() -> None:
    decision = machine.decide(seen(ASKED, points={"data": TAKEN_POINT}))

    assert the_point(decision) == point_status(taken_at=TAKEN_POINT.taken_at, content="content-1")
    assert decision.status.phase is BackupPhase.UPLOADING
    assert decision.actions == ()


@pytest.mark.parametrize(("waited", "after"), [(0, 3), (12, 3), (40, 10), (120, 30), (86_400, 30)])
def test_what_the_watch_reports_is_looked_at_more_and_more_seldom(waited: int, after: int) -> None:
    assert pause(timedelta(seconds=waited)) == timedelta(seconds=after)


def test_no_point_waits_for_readiness_while_another_is_not_taken() -> None:
    two = changed(
        TAKING, plan=plan("data", "logs"), points=(point_status("data"), point_status("logs"))
    )

    decision = machine.decide(seen(two, points={"data": TAKEN_POINT, "logs": PENDING_POINT}))

    assert (decision.status.phase, decision.after) == (BackupPhase.SNAPSHOTTING, WAITED)


def test_a_point_that_fails_does_not_hold_up_the_others() -> None:
    two = changed(
        TAKING, plan=plan("data", "logs"), points=(point_status("data"), point_status("logs"))
    )

    gone = PointSeen(claim_gone=True)
    decision = machine.decide(seen(two, points={"data": gone, "logs": TAKEN_POINT}))

    assert decision.status.phase is BackupPhase.UPLOADING
    assert decision.status.points[0].result is PointResult.FAILED
    assert decision.actions == ()


@pytest.mark.parametrize("phase", [BackupPhase.SNAPSHOTTING, BackupPhase.UPLOADING])
def test_a_run_without_its_plan_is_an_error_for_a_person(phase: BackupPhase) -> None:
    with pytest.raises(DataError, match=f"in phase {phase} has no plan"):
        machine.decide(seen(changed(ASKED, phase=phase, plan=None), points={"data": TAKEN_POINT}))
