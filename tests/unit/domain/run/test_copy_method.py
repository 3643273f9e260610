"""A copy that is made of the snapshot of its run: when it begins, of which one, what fails it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    READY_POINT,
    SHA,
    TAKEN_POINT,
    dump_status,
    hook_status,
    minutes,
    plan,
    planned_dump,
    planned_hook,
    planned_hooks,
    point_status,
    seen,
    status,
)

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.hooks import HookState
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.rolling import (
    CopyMethod,
    PlannedCopy,
    PlannedRolling,
    Rolling,
    RollingClaim,
    RollingDestination,
)
from backstay.api.rolling_status import CopyStatus
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.jobs import JobSeen
from backstay.domain.run.machine import decide
from backstay.domain.run.status import current_dump
from backstay.domain.run.values import Decision
from backstay.domain.stores.copies.actions import StartCopy
from backstay.domain.stores.dumps_inside import dumps_inside
from backstay.domain.stores.making import Making
from backstay.domain.stores.snapshots.actions import CreateSnapshot, MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen
from backstay.domain.stores.temporary import Temporary


def of_snapshots(*claims: str, **values: Any) -> RunPlan:
    settings = Rolling(
        destination=RollingDestination(claim=RollingClaim(name="nas")),
        copy_method=CopyMethod.SNAPSHOT,
    )
    names = claims or ("data",)
    copies = tuple(PlannedCopy(claim=name) for name in names)
    made = plan(*names, **values)
    points = (PlannedPoint(source=n, store=ROLLING, claim=n, made_of=SNAPSHOT) for n in names)
    rolling = PlannedRolling(copies=copies, settings=settings)
    return changed(made, rolling=rolling, points=(*made.points, *points))


def copy(claim: str = "data", **values: Any) -> PointStatus:
    given: dict[str, Any] = {"requested_at": None, "ref": None} | values
    return point_status(claim, store=ROLLING, **given)


def snapshot(
    claim: str = "data", result: PointResult = PointResult.PENDING, **values: Any
) -> PointStatus:
    return point_status(claim, result, taken_at=NOW - minutes(1), **values)


def copying(*points: PointStatus, of: RunPlan | None = None, **values: Any) -> BackupStatus:
    return status(BackupPhase.COPYING, plan=of or of_snapshots(), points=points, **values)


def entry(step: Decision, source: str = "data", store: str = ROLLING) -> PointStatus:
    return next(p for p in step.status.points if p.key == (source, store))


UPLOADS = copying(snapshot(), copy())
LOOKS = Making(temporary=Temporary())


def test_a_copy_waits_in_phase_copying_until_its_snapshot_is_ready_and_says_so() -> None:
    step = decide(seen(UPLOADS, points={"data": TAKEN_POINT}))

    assert step.status.phase is BackupPhase.COPYING
    assert step.status.message == "copy data: it waits until its snapshot is ready"
    assert entry(step).requested_at is None
    assert step.after is not None  # the snapshot is looked at again


def test_a_copy_begins_when_its_snapshot_is_good() -> None:
    step = decide(seen(UPLOADS, points={"data": READY_POINT}))

    assert step.actions == (MarkGood("data"),)
    assert (entry(step).requested_at, entry(step).message) == (NOW, None)
    step = decide(seen(step.status, copy=LOOKS))
    assert step.actions == (StartCopy("data"),)


@pytest.mark.parametrize("begun", [True, False], ids=["while it waits", "before it begins"])
def test_a_copy_fails_with_the_snapshot_that_it_is_made_of(begun: bool) -> None:
    plan_ = of_snapshots(retries=0)
    foreign = PointSeen(exists=True, ours=False)
    if begun:
        step = decide(seen(copying(snapshot(), copy(), of=plan_), points={"data": foreign}))
    else:
        taking = status(BackupPhase.SNAPSHOTTING, plan=plan_, points=(point_status(),))
        step = decide(seen(taking, points={"data": foreign}))

    assert step.status.phase is BackupPhase.FAILED
    why = entry(step, store=SNAPSHOT).message
    assert entry(step).result is PointResult.FAILED
    assert entry(step).message == f"the snapshot that it is made of failed: {why}"
    assert not any(isinstance(a, StartCopy) for a in step.actions)


def test_a_dump_that_fails_leaves_neither_a_snapshot_nor_a_copy() -> None:
    dumping = status(
        BackupPhase.DUMPING,
        plan=of_snapshots(dumps=(planned_dump(),), retries=0),
        dumps=(dump_status(state=DumpState.FAILED, message="no space"),),
    )
    step = decide(seen(dumping))
    assert (step.status.phase, step.status.points) == (BackupPhase.FAILED, ())


def test_a_retry_copies_the_snapshot_of_the_attempt_before_without_another_dump() -> None:
    of = of_snapshots(dumps=(planned_dump(),))
    done = dump_status(state=DumpState.DONE)
    failed = copying(
        snapshot(result=PointResult.GOOD),
        copy(requested_at=NOW, job="copy"),
        of=of,
        dumps=(done,),
    )
    step = decide(seen(failed, copy=Making(JobSeen(exists=True, failed=True), message="full")))
    assert step.status.phase is BackupPhase.QUEUED
    assert current_dump(step.status) is None

    again = decide(seen(changed(step.status, retry_at=None)))

    assert again.status.phase is BackupPhase.COPYING
    assert not any(isinstance(a, CreateSnapshot) for a in again.actions)
    assert (entry(again).attempt, entry(again, store=SNAPSHOT).attempt) == (2, 1)
    # What must be inside is what was dumped for that snapshot.
    assert dumps_inside(again.status, entry(again)) == (done,)
    asked = decide(seen(again.status))
    assert entry(asked).requested_at == NOW


def test_a_hook_that_fails_in_a_retry_keeps_no_copy_from_a_snapshot_that_is_good() -> None:
    hooks = planned_hooks(planned_hook())
    of = of_snapshots("a", "b", hooks=hooks, retries=1)
    broken = hook_status(state=HookState.FAILED, attempt=2, claims=(), message="no")
    over = status(
        BackupPhase.SNAPSHOTTING,
        plan=of,
        attempt=2,
        hooks=(broken,),
        points=(snapshot("a", PointResult.GOOD), snapshot("b", PointResult.FAILED)),
    )

    step = decide(seen(over))

    assert step.status.phase is BackupPhase.COPYING
    assert [p.key for p in step.status.points if p.pending] == [("a", ROLLING)]


def test_a_copy_whose_snapshot_is_ready_is_made_before_one_that_still_waits() -> None:
    both = of_snapshots("a", "b")
    waits = copying(snapshot("a"), snapshot("b", PointResult.GOOD), copy("a"), copy("b"), of=both)

    step = decide(seen(waits, points={"a": TAKEN_POINT}))

    assert entry(step, "b").requested_at == NOW
    assert entry(step, "a").requested_at is None
    # It is not left for one whose snapshot got ready meanwhile.
    step = decide(seen(step.status, points={"a": READY_POINT}, copy=LOOKS))
    assert step.actions == (MarkGood("a"), StartCopy("b"))
    assert step.status.message is None


def test_one_snapshot_that_fails_leaves_the_copies_of_the_others() -> None:
    both = of_snapshots("a", "b", retries=0)
    waits = copying(snapshot("a"), snapshot("b", PointResult.GOOD), copy("a"), copy("b"), of=both)

    step = decide(seen(waits, points={"a": PointSeen()}))

    assert entry(step, "a").result is PointResult.FAILED
    assert entry(step, "b").requested_at == NOW
    made = changed(
        copy("b", requested_at=NOW),
        result=PointResult.GOOD,
        ref="2026-11-22T003205Z",
        taken_at=NOW,
        rolling=CopyStatus(uid="u", version="v"),
    )
    last = decide(seen(step.status, copy=Making(JobSeen(exists=True), result=made)))
    assert last.status.phase is BackupPhase.PARTIALLY_FAILED


def test_a_copy_of_the_live_volume_must_have_the_dumps_of_its_own_attempt() -> None:
    live = of_snapshots(dumps=(planned_dump("old"), planned_dump("new")))
    live = changed(live, points=tuple(changed(p, made_of=None) for p in live.points))
    old = dump_status("old", DumpState.DONE, attempt=1)
    new = dump_status("new", DumpState.DONE, attempt=2)
    elsewhere = changed(new, name="other", claim="other")
    of = copying(copy(attempt=2), of=live, dumps=(old, new, elsewhere), attempt=2)

    assert dumps_inside(of, of.points[0]) == (new,)
    assert new.sha256 == SHA


def test_a_claim_that_is_on_its_way_out_is_waited_for() -> None:
    asked = copying(snapshot(result=PointResult.GOOD), copy(requested_at=NOW))
    waits = Making(waits=True, message="claim x is being deleted", temporary=Temporary())
    step = decide(seen(asked, copy=waits))
    assert (step.actions, step.status.message) == ((), "copy data: claim x is being deleted")
