"""A run that keeps one claim in two stores: each goes on by itself, and only both are a success."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    READY_POINT,
    TAKEN_POINT,
    dump_status,
    minutes,
    plan,
    planned_dump,
    point_status,
    seen,
    status,
    with_points,
)

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.plan import RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.rolling import (
    PlannedCopy,
    PlannedRolling,
    Rolling,
    RollingClaim,
    RollingDestination,
)
from backstay.api.rolling_status import CopyStatus
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.jobs import JobSeen
from backstay.domain.run.machine import decide, fail
from backstay.domain.run.status import points_left
from backstay.domain.run.values import Decision
from backstay.domain.stores.copies.actions import StartCopy
from backstay.domain.stores.making import Making
from backstay.domain.stores.snapshots.actions import CreateSnapshot, MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen

POOLS = ("driver/fast", "global")


def both(**values: Any) -> RunPlan:
    settings = Rolling(destination=RollingDestination(claim=RollingClaim(name="nas")))
    rolling = PlannedRolling(copies=(PlannedCopy(claim="data"),), settings=settings)
    return with_points(changed(plan(**values), pools=POOLS), rolling)


def copy(result: PointResult = PointResult.PENDING, **values: Any) -> PointStatus:
    given: dict[str, Any] = {"requested_at": NOW - minutes(1), "ref": None} | values
    return point_status(result=result, store=ROLLING, **given)


def good_copy() -> PointStatus:
    made = {"ref": "2026-11-22T003205Z", "rolling": CopyStatus(uid="u", version="v")}
    return copy(PointResult.GOOD, taken_at=NOW, bytes=4096, **made)


MOMENT = point_status(taken_at=NOW - minutes(1))
BOTH_WAIT = status(BackupPhase.COPYING, plan=both(), points=(MOMENT, copy()), pools=("global",))
RUNS = Making(JobSeen(name="copy", exists=True, started=True))
MADE = Making(JobSeen(exists=True), result=good_copy())
BROKEN = Making(problem="the disk is full")


def results(decision: Decision) -> dict[str, str]:
    return {p.store: p.result.value for p in decision.status.points}


def test_the_copy_begins_when_the_snapshot_is_taken_and_gives_back_the_drivers_permit() -> None:
    taking = status(BackupPhase.SNAPSHOTTING, plan=both(), points=(point_status(),), pools=POOLS)

    step = decide(seen(taking, points={"data": TAKEN_POINT}))

    assert (step.status.phase, step.status.pools) == (BackupPhase.COPYING, ("global",))
    assert [p.key for p in step.status.points] == [
        ("data", SNAPSHOT),
        ("data", ROLLING),
    ]
    assert all(p.pending for p in step.status.points)


def test_neither_store_waits_for_the_other() -> None:
    step = decide(seen(BOTH_WAIT, points={"data": READY_POINT}, copy=Making()))

    assert results(step) == {SNAPSHOT: "good", ROLLING: "pending"}
    assert step.actions == (MarkGood("data"), StartCopy("data"))
    assert step.status.phase is BackupPhase.COPYING

    step = decide(seen(BOTH_WAIT, points={"data": TAKEN_POINT}, copy=MADE))

    assert results(step) == {SNAPSHOT: "pending", ROLLING: "good"}
    # It holds nothing that others wait for while the driver uploads.
    assert (step.status.phase, step.status.pools) == (BackupPhase.UPLOADING, ())


def test_a_run_is_completed_when_every_store_has_its_point() -> None:
    ready = decide(seen(BOTH_WAIT, points={"data": READY_POINT}, copy=RUNS))
    done = decide(seen(ready.status, copy=MADE))

    assert done.status.phase is BackupPhase.COMPLETED
    assert done.status.size == "1.0Gi"  # once, not the sum of two copies of the same data
    assert done.status.spread is None


@pytest.mark.parametrize(
    ("point", "looks", "good"),
    [
        (READY_POINT, BROKEN, SNAPSHOT),
        (PointSeen(exists=True, ours=False), MADE, ROLLING),
    ],
)
def test_a_store_that_fails_leaves_the_point_of_the_other_good_and_is_named(
    point: PointSeen, looks: Making, good: str
) -> None:
    last = changed(BOTH_WAIT, plan=both(retries=0))

    step = decide(seen(last, points={"data": point}, copy=looks))

    assert step.status.phase is BackupPhase.PARTIALLY_FAILED
    assert {s for s, r in results(step).items() if r == "good"} == {good}
    named = "copy data: " if good == SNAPSHOT else "claim data: "
    assert (step.status.message or "").startswith(named)


def test_the_next_attempt_makes_only_what_is_missing() -> None:
    failed = decide(seen(BOTH_WAIT, points={"data": READY_POINT}, copy=BROKEN)).status
    assert failed.phase is BackupPhase.QUEUED
    assert points_left(failed) == (("data", ROLLING),)

    again = decide(seen(changed(failed, retry_at=None)))

    assert again.status.phase is BackupPhase.COPYING
    assert not any(isinstance(a, CreateSnapshot) for a in again.actions)
    assert [(p.store, p.attempt) for p in again.status.points] == [
        (SNAPSHOT, 1),
        (ROLLING, 2),
    ]
    done = decide(
        seen(changed(again.status, points=(again.status.points[0], copy(attempt=2))), copy=MADE)
    )
    assert done.status.phase is BackupPhase.COMPLETED


def test_a_dump_that_fails_leaves_no_point_in_any_store() -> None:
    dumping = status(
        BackupPhase.DUMPING,
        plan=both(dumps=(planned_dump(),), retries=0),
        dumps=(dump_status(state=DumpState.FAILED, message="no space"),),
    )

    step = decide(seen(dumping))

    assert step.status.phase is BackupPhase.FAILED
    assert step.status.points == ()
    assert (step.status.message or "").startswith("dump shop: no space")


def test_a_look_that_fails_for_good_fails_the_copy_and_leaves_the_snapshot_to_be_looked_at() -> (
    None
):
    """Nothing was seen: not the copy, and not the snapshot either."""
    step = fail(seen(BOTH_WAIT), "jobs.batch is forbidden")

    assert results(step) == {SNAPSHOT: "pending", ROLLING: "failed"}
    assert step.status.phase is BackupPhase.UPLOADING
    done = decide(seen(changed(step.status, plan=both(retries=0)), points={"data": READY_POINT}))
    assert done.status.phase is BackupPhase.PARTIALLY_FAILED
    assert done.status.message == "copy data: jobs.batch is forbidden"

    alone = changed(BOTH_WAIT, points=(copy(),), plan=both(retries=0))
    assert fail(seen(alone), "no").status.phase is BackupPhase.FAILED
