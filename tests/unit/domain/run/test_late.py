"""An upload that may come late: what waits for it, how often it is tried, whose goes first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import (
    NOW,
    READY_POINT,
    RUN_UID,
    minutes,
    plan,
    point_status,
    seen,
    spec,
    status,
)

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.repository_store import PlannedRepository, Repository
from backstay.api.rolling import PlannedCopy
from backstay.api.store import REPOSITORY, SNAPSHOT
from backstay.domain.jobs import JobSeen
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.late import LONGEST_TRY, turn, waits_for_late
from backstay.domain.run.machine import decide
from backstay.domain.run.values import Decision
from backstay.domain.stores.making import Making
from backstay.domain.stores.repository.actions import CancelUpload, StartUpload
from backstay.domain.stores.repository.plan import UPLOADS
from backstay.domain.subject import Subject

ENDED = JobSeen(name="upload-1", exists=True, started=True, failed=True)
LATE = minutes(60)


def uploads(*claims: str, late: bool = True, retries: int = 2) -> RunPlan:
    """A plan of snapshots and of uploads made of them."""
    names = claims or ("data",)
    made = plan(*names, retries=retries)
    points = (
        PlannedPoint(
            source=n,
            store=REPOSITORY,
            claim=n,
            made_of=SNAPSHOT,
            late_after=LATE if late else None,
        )
        for n in names
    )
    planned = PlannedRepository(
        copies=tuple(PlannedCopy(claim=n) for n in names),
        settings=Repository(name="offsite"),
        id="a" * 64,
    )
    return changed(made, repository=planned, points=(*made.points, *points))


def upload(claim: str = "data", **values: Any) -> PointStatus:
    return point_status(claim, store=REPOSITORY, **{"requested_at": None, "ref": None} | values)


def snapshot(claim: str = "data", **values: Any) -> PointStatus:
    given: dict[str, Any] = {"result": PointResult.GOOD, "taken_at": NOW - minutes(1)} | values
    return point_status(claim, **given)


def uploading(*points: PointStatus, of: RunPlan | None = None, **values: Any) -> BackupStatus:
    return status(BackupPhase.UPLOADING, plan=of or uploads(), points=points, **values)


def the_upload(step: Decision, claim: str = "data") -> PointStatus:
    return next(p for p in step.status.points if p.key == (claim, REPOSITORY))


def test_a_run_holds_nothing_while_only_a_late_upload_is_left() -> None:
    before = status(
        BackupPhase.SNAPSHOTTING,
        plan=uploads(),
        points=(snapshot(result=PointResult.PENDING, ref="s"),),
        pools=("global", "driver/d"),
    )

    step = decide(seen(before, points={"data": READY_POINT}))
    step = decide(seen(step.status, points={"data": READY_POINT}))

    assert (step.status.phase, step.status.pools) == (BackupPhase.UPLOADING, ())
    assert the_upload(step).pending


def test_a_run_waits_for_a_required_upload_with_its_claims_held() -> None:
    of = uploads(late=False)
    step = decide(seen(uploading(snapshot(), upload(), of=of), upload=Making()))

    assert step.status.phase is BackupPhase.COPYING
    assert not waits_for_late(step.status)


@pytest.mark.parametrize(
    ("points", "waits"),
    [
        ((snapshot(), upload()), True),
        # The driver is not done with the snapshot: the next slot waits, as it always has.
        ((snapshot(result=PointResult.PENDING), upload()), False),
        ((snapshot(), upload(result=PointResult.GOOD)), False),
    ],
)
def test_the_next_slot_waits_for_all_but_late_points(
    points: tuple[PointStatus, ...], waits: bool
) -> None:
    assert waits_for_late(uploading(*points)) is waits


def test_an_upload_that_failed_is_tried_again_in_the_same_attempt() -> None:
    asked = upload(requested_at=NOW - minutes(2), job="upload-1")
    failed = Making(ENDED, message="Unreachable: the server does not answer")

    step = decide(seen(uploading(snapshot(), asked), upload=failed))

    again = the_upload(step)
    assert (again.result, again.tries) == (PointResult.PENDING, 1)
    assert (again.requested_at, again.job) == (None, None)
    assert again.retry_at == NOW + minutes(1)
    assert "Unreachable" in (again.message or "")
    # The next Job takes the name of this one.
    assert step.actions == (CancelUpload("data"),)
    assert step.status.attempt == 1


def test_a_try_that_is_not_due_is_waited_for_and_then_asked_for() -> None:
    waits = upload(tries=3, retry_at=NOW + minutes(2))

    early = decide(seen(uploading(snapshot(), waits), upload=Making()))
    assert the_upload(early).requested_at is None
    assert early.after == minutes(2)

    due = decide(seen(early.status, upload=Making(), now=NOW + minutes(2)))
    assert the_upload(due).requested_at == NOW + minutes(2)


def test_a_clock_that_was_ahead_keeps_no_try_waiting() -> None:
    waits = upload(tries=1, retry_at=NOW + minutes(60 * 24 * 365))

    assert the_upload(decide(seen(uploading(snapshot(), waits), upload=Making()))).requested_at


def test_a_job_that_never_started_is_tried_again() -> None:
    asked = upload(requested_at=NOW - minutes(11), job="upload-1")
    stuck = Making(JobSeen(name="upload-1", exists=True), message="no node has room")

    step = decide(seen(uploading(snapshot(), asked), upload=stuck))

    assert (the_upload(step).tries, the_upload(step).pending) == (1, True)
    assert "no node has room" in (the_upload(step).message or "")


def test_what_can_never_be_fails_at_once() -> None:
    asked = upload(requested_at=NOW - minutes(2))
    damaged = Making(ENDED, problem="DumpChanged: shop.dump is not as it was")

    step = decide(seen(uploading(snapshot(), asked), upload=damaged))

    assert the_upload(step).result is PointResult.FAILED


def test_an_upload_that_is_too_late_is_given_up_and_the_run_is_partially_failed() -> None:
    begun = NOW - LATE - minutes(1)
    last = upload(requested_at=NOW - minutes(2), job="upload-1", tries=4)
    late = uploading(snapshot(), last, started_at=begun)

    step = decide(seen(late, upload=Making(ENDED, message="Unreachable: no answer")))
    while not step.status.phase.final:
        step = decide(seen(step.status, upload=Making()))

    # No further attempt: it was tried all the time.
    assert (step.status.phase, step.status.attempt) == (BackupPhase.PARTIALLY_FAILED, 1)
    assert "Unreachable" in (step.status.message or "")


def test_one_whose_turn_never_comes_is_given_up_as_well() -> None:
    late = uploading(snapshot(), upload(), started_at=NOW - LATE - minutes(1))

    step = decide(seen(late, upload=Making(busy="BackupRepository offsite is not Ready")))

    assert the_upload(step).result is PointResult.FAILED
    assert "not Ready" in (the_upload(step).message or "")


def test_one_that_fails_again_and_again_holds_up_no_other() -> None:
    of = uploads("a", "b")
    bad = upload("a", tries=2, retry_at=NOW + minutes(4))
    run = uploading(snapshot("a"), snapshot("b"), bad, upload("b"), of=of)

    step = decide(seen(run, upload=Making()))

    assert the_upload(step, "b").requested_at == NOW
    assert the_upload(step, "a").requested_at is None


def test_a_snapshot_that_failed_is_made_again_and_its_upload_with_it() -> None:
    gone = snapshot(result=PointResult.FAILED, message="refused")
    step = decide(seen(uploading(gone, upload()), upload=Making()))

    assert step.status.phase is BackupPhase.QUEUED


def test_an_upload_is_started_as_soon_as_it_is_asked_for() -> None:
    asked = upload(requested_at=NOW)

    assert (
        StartUpload("data") in decide(seen(uploading(snapshot(), asked), upload=Making())).actions
    )


@given(tries=st.integers(0, 40), minute=st.integers(0, 59))
def test_no_wait_is_longer_than_the_longest_nor_beyond_the_end(tries: int, minute: int) -> None:
    begun = NOW - minutes(minute)
    asked = upload(requested_at=NOW - minutes(0.5), job="upload-1", tries=tries)
    run = uploading(snapshot(), asked, started_at=begun)

    entry = the_upload(decide(seen(run, upload=Making(ENDED, message="no"))))

    if entry.pending:
        assert entry.retry_at is not None
        assert entry.retry_at <= min(begun + LATE, NOW + LONGEST_TRY)


def run_of(name: str, taken: datetime | None, entry: PointStatus, **values: Any) -> Run:
    """A run of the policy whose snapshot is of this moment (None: not taken yet)."""
    result = PointResult.GOOD if taken else PointResult.PENDING
    of = uploading(snapshot(result=result, taken_at=taken), entry, **values)
    uid = RUN_UID if name == "mine" else f"uid-{name}"
    obj = {"metadata": {"name": name, "namespace": "team", "uid": uid}}
    return Subject(obj, spec(), of)


OLD, NEW = NOW - minutes(90), NOW - minutes(30)


@pytest.mark.parametrize(
    ("taken", "other", "behind", "superseded"),
    [
        (OLD, upload(), "", False),
        (NEW, upload(), "is newer and goes first", False),
        (NEW, upload(result=PointResult.FAILED), "", False),
        # Its snapshot is not taken: nobody knows whether it ever will be.
        (None, upload(), "", False),
        (NEW, upload(result=PointResult.GOOD, taken_at=NEW), "", True),
        (OLD, upload(result=PointResult.GOOD, taken_at=OLD), "", False),
        # What is under way is not overtaken, whichever is newer.
        (OLD, upload(requested_at=NOW), "is under way", False),
        (NEW, upload(requested_at=NOW), "is under way", False),
    ],
)
def test_the_newest_upload_goes_first_and_stands_for_older_ones(
    taken: datetime | None, other: PointStatus, behind: str, superseded: bool
) -> None:
    mine = run_of("mine", NOW - minutes(60), upload())

    found = turn(mine, upload(), [mine, run_of("other", taken, other)])

    assert behind in found.behind
    assert bool(found.behind) is bool(behind)
    assert bool(found.superseded) is superseded


def test_a_run_that_is_over_holds_up_no_upload() -> None:
    mine = run_of("mine", OLD, upload())
    ended = run_of("other", NEW, upload(requested_at=NOW))
    over = Subject(
        obj=ended.obj,
        spec=ended.spec,
        status=changed(ended.status, phase=BackupPhase.PARTIALLY_FAILED),
    )

    assert turn(mine, upload(), [over]).behind == ""


def test_a_superseded_upload_fails_and_says_what_stands_for_it() -> None:
    newer = Making(problem="Backup b is newer and has its copy: there is no use")

    step = decide(seen(uploading(snapshot(), upload()), upload=newer))

    assert the_upload(step).result is PointResult.FAILED
    assert "newer" in (the_upload(step).message or "")


def test_the_deadline_of_a_late_upload_is_looked_at() -> None:
    run = uploading(snapshot(), upload())

    assert run.started_at is not None
    assert UPLOADS.deadlines(run) == (run.started_at + LATE,)
