"""A run that uploads: what it shows meanwhile, what it is in the end, and what it is made of."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    dump_status,
    minutes,
    plan,
    planned_dump,
    point_status,
    seen,
    status,
)

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.plan import PlannedPoint, RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.progress import Progress
from backstay.api.repository_store import PlannedRepository, Repository, StoredStatus
from backstay.api.rolling import PlannedCopy
from backstay.api.store import REPOSITORY, ROLLING, SNAPSHOT
from backstay.domain.jobs import JobSeen
from backstay.domain.run.machine import decide
from backstay.domain.run.status import current_dump, first_origin_of
from backstay.domain.run.values import Decision
from backstay.domain.stores.dumps_inside import dumps_inside
from backstay.domain.stores.making import Making
from backstay.domain.stores.repository.actions import CancelUpload, StartUpload

RUNNING = JobSeen(name="upload", exists=True, started=True)
PROGRESS = Progress(bytes=512, of=1024, seconds=64, rate=8, at=NOW)
SHOWN = "512 of 1.0Ki stored (50 %), 8 a second"
CHAIN = ((SNAPSHOT, None), (ROLLING, SNAPSHOT), (REPOSITORY, ROLLING))
"""A snapshot, the rolling copy of it, and the upload of that."""


def uploads(*stores: tuple[str, str | None], **values: Any) -> RunPlan:
    """A plan of points of claim `data`: by store, what they are made of."""
    made = plan("data", **values)
    points = (
        PlannedPoint(source="data", store=store, claim="data", made_of=of)
        for store, of in stores or ((REPOSITORY, None),)
    )
    settings = Repository(name="offsite")
    repository = PlannedRepository(copies=(PlannedCopy(claim="data"),), settings=settings)
    return changed(made, repository=repository, points=tuple(points))


def upload(result: PointResult = PointResult.PENDING, **values: Any) -> PointStatus:
    return point_status("data", result, store=REPOSITORY, **{"ref": None, **values})


def good(**values: Any) -> PointStatus:
    stored = StoredStatus(
        repository="offsite", id="a" * 64, data="d" * 64, record="e" * 64, tree="f" * 64, **values
    )
    return upload(PointResult.GOOD, ref="dddddddd", taken_at=NOW, bytes=2048, stored=stored)


def uploading(*points: PointStatus, of: RunPlan | None = None) -> BackupStatus:
    return status(BackupPhase.COPYING, plan=of or uploads(), points=points or (upload(),))


def entry(step: Decision) -> PointStatus:
    return next(p for p in step.status.points if p.store == REPOSITORY)


def test_an_upload_at_work_shows_how_far_it_is_until_the_next_look() -> None:
    step = decide(seen(uploading(), upload=Making(RUNNING, progress=PROGRESS)))
    assert entry(step).progress == PROGRESS
    assert step.status.message == f"upload data: {SHOWN}"

    again = decide(seen(step.status, upload=Making(RUNNING)))
    assert entry(again).progress == PROGRESS
    assert again.status.message == f"upload data: {SHOWN}"


@pytest.mark.parametrize(
    "look",
    [
        Making(RUNNING, problem="a claim is missing"),
        Making(RUNNING, result=good()),
        Making(JobSeen(), message="its Job went away"),
    ],
    ids=["failed", "good", "asked for again"],
)
def test_no_progress_is_left_of_what_is_decided_or_begins_again(look: Making) -> None:
    working = uploading(upload(job="upload", progress=PROGRESS, message=SHOWN))
    step = decide(seen(working, upload=look))
    assert entry(step).progress is None
    assert SHOWN not in (step.status.message or "")


def test_a_point_without_what_could_not_be_read_is_good_and_its_run_partially_failed() -> None:
    whole = decide(seen(uploading(), upload=Making(RUNNING, result=good())))
    partial = decide(seen(uploading(), upload=Making(RUNNING, result=good(unreadable=2))))
    assert whole.status.phase is BackupPhase.COMPLETED
    assert partial.status.phase is BackupPhase.PARTIALLY_FAILED
    assert entry(partial).result is PointResult.GOOD


def test_an_upload_whose_turn_has_not_come_is_not_asked_for_and_says_who_has_it() -> None:
    waiting = uploading(upload(requested_at=None))
    step = decide(seen(waiting, upload=Making(busy="maintenance is under way")))
    assert entry(step).requested_at is None
    assert step.status.message == "upload data: maintenance is under way"

    asked = decide(seen(step.status, upload=Making()))
    assert (entry(asked).requested_at, entry(asked).message) == (NOW, None)
    assert decide(seen(asked.status, upload=Making())).actions == (StartUpload("data"),)


def test_an_upload_that_others_overtake_waits_again_and_none_of_its_time_runs() -> None:
    asked = uploading(upload(requested_at=NOW - minutes(9)))
    step = decide(seen(asked, upload=Making(busy="4 of at most 4 Jobs are at work")))
    assert entry(step).requested_at is None
    assert entry(step).result is PointResult.PENDING


def test_an_upload_that_does_not_start_in_time_is_given_up_with_what_it_waited_for() -> None:
    late = uploading(upload(requested_at=NOW - minutes(11)), of=uploads(retries=0))
    waits = JobSeen(name="upload", exists=True)
    step = decide(seen(late, upload=Making(waits, message="no node has room")))
    assert step.actions == (CancelUpload("data"),)
    assert entry(step).message == "not started within startTimeout (0:10:00): no node has room"


def test_an_upload_waits_for_the_rolling_copy_that_it_is_made_of_and_fails_with_it() -> None:
    chain = uploads((ROLLING, None), (REPOSITORY, ROLLING), retries=0)
    copy = point_status("data", store=ROLLING, ref=None)
    step = decide(seen(uploading(copy, upload(requested_at=None), of=chain), copy=Making(RUNNING)))
    assert entry(step).message == "it waits until its rolling copy is ready"

    failed = decide(seen(step.status, copy=Making(RUNNING, problem="the disk is full")))
    if entry(failed).pending:
        failed = decide(seen(failed.status, upload=Making()))
    assert entry(failed).message == ("the rolling copy that it is made of failed: the disk is full")
    assert failed.status.phase is BackupPhase.FAILED


@pytest.mark.parametrize("again", [False, True], ids=["the first attempt", "a further one"])
def test_a_copy_of_a_copy_has_the_dump_of_the_snapshot_inside(again: bool) -> None:
    of = uploads(*CHAIN, dumps=(planned_dump(),))
    taken = dump_status(state=DumpState.DONE, attempt=1)
    made = point_status("data", PointResult.GOOD, attempt=1, taken_at=NOW)
    attempt = 2 if again else 1
    copy = point_status("data", PointResult.GOOD, store=ROLLING, attempt=attempt)
    mine = upload(attempt=attempt)
    run = changed(uploading(made, copy, mine, of=of), dumps=(taken,), attempt=attempt)

    assert first_origin_of(run, "data", REPOSITORY) == made
    assert dumps_inside(run, mine) == (taken,)
    # Another dump would not be in that snapshot.
    assert current_dump(changed(run, points=(made,))) is None
