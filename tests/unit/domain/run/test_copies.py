"""A run of rolling copies: one Job after the other, on one node or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW, minutes, plan, seen, status, with_points

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.plan import RunPlan
from backstay.api.point import PointResult, PointStatus
from backstay.api.rolling import PlannedCopy, PlannedRolling, Rolling, RollingDestination
from backstay.api.rolling_status import CopyStatus
from backstay.api.store import ROLLING
from backstay.domain.jobs import JobSeen
from backstay.domain.run.concurrency import claimed
from backstay.domain.run.machine import decide, fail
from backstay.domain.run.values import Seen
from backstay.domain.stores.copies.actions import CancelCopy, StartCopy
from backstay.domain.stores.making import Making

UPLOADS, MAIL = "worker-1:/srv/uploads", "worker-1:/srv/mail"
RUNNING = JobSeen(name="copy", exists=True, started=True)


def rolling_plan(*paths: str, **values: Any) -> RunPlan:
    copies = tuple(PlannedCopy(node="worker-1", path=p) for p in paths or ("/srv/uploads",))
    settings = Rolling(destination=RollingDestination(host_path="/backup"))
    rolling = PlannedRolling(copies=copies, settings=settings)
    made = plan().model_copy(update={"claims": (), "rolling": rolling, **values})
    return with_points(made)


def copying(*entries: PointStatus, of: RunPlan | None = None) -> BackupStatus:
    return status(BackupPhase.COPYING, plan=of or rolling_plan(), points=entries)


def entry(series: str = UPLOADS, **values: Any) -> PointStatus:
    defaults: dict[str, Any] = {
        "source": series,
        "store": ROLLING,
        "attempt": 1,
        "result": PointResult.PENDING,
        "requested_at": NOW - minutes(1),
    }
    return PointStatus(**defaults | values)


def good(series: str = UPLOADS) -> PointStatus:
    return entry(
        series,
        ref="2026-11-22T003205Z",
        result=PointResult.GOOD,
        taken_at=NOW,
        bytes=2048,
        rolling=CopyStatus(uid="u", version="v"),
    )


def look(of: BackupStatus, copy: Making) -> Seen:
    return seen(of, copy=copy)


def test_a_run_goes_from_queued_to_copying_with_a_point_for_each_directory() -> None:
    queued = status(BackupPhase.QUEUED, plan=rolling_plan("/srv/uploads", "/srv/mail"))

    step = decide(seen(queued))

    assert step.status.phase is BackupPhase.COPYING
    assert [p.source for p in step.status.points] == [UPLOADS, MAIL]
    assert not step.actions


def test_what_is_asked_for_is_written_down_before_its_job_is_made() -> None:
    step = decide(look(copying(entry(requested_at=None)), Making()))
    assert not step.actions
    assert step.status.points[0].requested_at == NOW

    step = decide(look(step.status, Making()))
    assert step.actions == (StartCopy(UPLOADS),)


def test_directories_are_copied_one_after_the_other() -> None:
    both = copying(
        entry(), entry(MAIL, requested_at=None), of=rolling_plan("/srv/uploads", "/srv/mail")
    )

    step = decide(look(both, Making(RUNNING)))
    assert step.actions == ()
    assert step.status.points[0].job == "copy"
    step = decide(look(step.status, Making(RUNNING, result=good())))

    assert step.status.phase is BackupPhase.COPYING
    assert [p.result for p in step.status.points] == [PointResult.GOOD, PointResult.PENDING]
    assert decide(look(step.status, Making())).status.points[1].requested_at == NOW


def test_a_run_is_completed_when_every_directory_has_its_point() -> None:
    step = decide(look(copying(good()), Making()))
    assert step.status.phase is BackupPhase.COMPLETED
    assert (step.status.taken, step.status.size) == (NOW, "2.0Ki")


def test_a_missing_node_fails_the_copy_at_once() -> None:
    step = decide(look(copying(entry()), Making(problem="there is no node worker-1")))
    assert step.status.points[0].result is PointResult.FAILED
    assert step.status.points[0].message == "there is no node worker-1"
    assert not step.actions


def test_a_node_that_is_not_ready_is_waited_for_without_a_job() -> None:
    step = decide(look(copying(entry()), Making(waits=True, message="node worker-1 is not ready")))
    assert not step.actions
    assert step.status.message == f"copy {UPLOADS}: node worker-1 is not ready"
    assert step.status.points[0].result is PointResult.PENDING


@pytest.mark.parametrize("exists", [True, False])
def test_what_does_not_start_is_given_up_after_start_timeout(exists: bool) -> None:
    job = JobSeen(name="copy", exists=True) if exists else JobSeen()
    waiting = copying(entry(requested_at=NOW - minutes(11)))

    step = decide(look(waiting, Making(job, message="0/2 nodes are available")))

    assert step.actions == ((CancelCopy(UPLOADS),) if exists else ())
    assert step.status.points[0].message == (
        "not started within startTimeout (0:10:00): 0/2 nodes are available"
    )


def test_what_was_refused_is_said_where_neither_job_nor_claim_could_be_made() -> None:
    waiting = copying(entry(requested_at=NOW - minutes(11))).model_copy(
        update={"message": "create Job a/b: exceeded quota"}
    )
    step = decide(look(waiting, Making()))
    assert step.status.points[0].message == (
        "not started within startTimeout (0:10:00): create Job a/b: exceeded quota"
    )


def test_a_copy_that_has_started_is_left_to_its_own_deadline() -> None:
    long_ago = copying(entry(requested_at=NOW - timedelta(hours=20)))
    step = decide(look(long_ago, Making(RUNNING)))
    assert step.actions == ()
    assert step.status.points[0].result is PointResult.PENDING


def test_a_job_that_went_away_is_made_again_with_a_full_wait() -> None:
    started = copying(entry(job="copy", requested_at=NOW - timedelta(hours=2)))

    step = decide(look(started, Making()))

    assert step.actions == ()
    assert (step.status.points[0].job, step.status.points[0].requested_at) == (None, None)


def test_a_result_that_nobody_can_read_any_more_is_asked_for_again() -> None:
    done = JobSeen(name="copy", exists=True, started=True, succeeded=True)
    step = decide(look(copying(entry(job="copy")), Making(done, lost=True)))
    assert step.actions == (CancelCopy(UPLOADS),)
    assert step.status.points[0].result is PointResult.PENDING


def test_a_failed_job_fails_the_copy_with_the_agents_words_and_is_retried() -> None:
    failed = JobSeen(name="copy", exists=True, started=True, failed=True, message="BackoffLimit")
    step = decide(look(copying(entry()), Making(failed, message="/source/uploads is empty")))
    assert step.status.points[0].message == "/source/uploads is empty"

    step = decide(look(step.status, Making()))
    assert step.status.phase is BackupPhase.QUEUED
    assert step.status.message == (f"attempt 1 failed: copy {UPLOADS}: /source/uploads is empty")


def test_two_runs_of_one_directory_do_not_go_at_once() -> None:
    uploads, mail = rolling_plan("/srv/uploads"), rolling_plan("/srv/mail")
    assert claimed(uploads) == claimed(rolling_plan("/srv/uploads"))
    assert not claimed(uploads) & claimed(mail)


def test_a_copy_whose_status_is_refused_fails_and_the_next_one_goes_on() -> None:
    two = copying(entry(), entry(MAIL), of=rolling_plan("/srv/uploads", "/srv/mail"))
    published = Making(RUNNING, result=good())

    decision = fail(look(two, published), "newBytes: Invalid value")

    first, second = decision.status.points
    assert (first.result, second.result) == (PointResult.FAILED, PointResult.PENDING)
    assert first.message == "newBytes: Invalid value"
