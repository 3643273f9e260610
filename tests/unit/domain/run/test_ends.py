"""How an attempt ends: completed, again, partly or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import (
    NOW,
    READY_POINT,
    TAKEN_POINT,
    dump_status,
    minutes,
    place,
    plan,
    planned_dump,
    point_status,
    seen,
    status,
)

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.dump_status import DumpState
from backstay.api.point import PointResult
from backstay.domain.run import machine
from backstay.domain.run.status import format_size
from backstay.domain.stores.snapshots.actions import MarkFailed, MarkGood
from backstay.domain.stores.snapshots.sights import PointSeen

TWO = status(
    BackupPhase.UPLOADING,
    plan=plan("data", "logs", retries=2),
    points=(
        point_status("data", taken_at=NOW - minutes(2)),
        point_status("logs", taken_at=NOW - minutes(1)),
    ),
)
HALF = {"data": READY_POINT, "logs": PointSeen()}
LOST = PointSeen().lost()


def test_a_run_is_completed_when_every_claim_has_a_good_point() -> None:
    decision = machine.decide(seen(TWO, points={"data": READY_POINT, "logs": READY_POINT}))

    ended = decision.status
    assert decision.actions == (MarkGood("data"), MarkGood("logs"))
    assert (ended.phase, ended.message, ended.completed_at) == (BackupPhase.COMPLETED, None, NOW)
    assert (ended.taken, ended.size) == (NOW - minutes(2), "2.0Gi")
    assert decision.after is None


def test_a_completed_run_says_what_its_dumps_lack() -> None:
    dumps = (
        dump_status("a", DumpState.DONE, notes=("rows are missing", "and more")),
        dump_status("b", DumpState.DONE),
        dump_status("c", DumpState.DONE, notes=("so are these",)),
    )
    points = {"data": READY_POINT, "logs": READY_POINT}

    ended = machine.decide(seen(changed(TWO, dumps=dumps), points=points)).status

    assert ended.phase is BackupPhase.COMPLETED
    assert ended.message == "dump a: rows are missing (1 more); dump c: so are these"


@pytest.mark.parametrize(("attempt", "wait"), [(1, 30), (2, 60)])
def test_an_attempt_that_failed_is_repeated_after_a_growing_wait(attempt: int, wait: int) -> None:
    points = tuple(changed(p, attempt=attempt) for p in TWO.points)
    failing = changed(TWO, attempt=attempt, points=points)

    decision = machine.decide(seen(failing, points=HALF))

    again, pause = decision.status, timedelta(seconds=wait)
    assert (again.phase, again.attempt) == (BackupPhase.QUEUED, attempt)
    assert (again.retry_at, decision.after) == (NOW + pause, pause)
    assert again.message == f"attempt {attempt} failed: claim logs: {LOST}"
    assert decision.actions == (MarkGood("data"), MarkFailed("logs-1"))


def test_the_last_attempt_keeps_what_is_good_and_says_what_is_not() -> None:
    last = changed(TWO, plan=plan("data", "logs", retries=0))

    decision = machine.decide(seen(last, points=HALF))

    assert decision.status.phase is BackupPhase.PARTIALLY_FAILED
    assert decision.status.message == f"claim logs: {LOST}"
    assert decision.status.taken == NOW - minutes(2)
    assert [p.result for p in decision.status.points] == [PointResult.GOOD, PointResult.FAILED]
    assert decision.actions == (MarkGood("data"), MarkFailed("logs-1"))


def test_a_run_without_any_good_point_failed() -> None:
    last = changed(TWO, plan=plan("data", "logs", retries=0))

    decision = machine.decide(seen(last, points={}))

    ended = decision.status
    assert (ended.phase, ended.taken, ended.size) == (BackupPhase.FAILED, None, None)
    assert decision.actions == (MarkFailed("data-1"), MarkFailed("logs-1"))
    assert decision.after is None


def test_a_retry_that_heals_the_rest_completes_the_run() -> None:
    second = changed(
        TWO,
        attempt=2,
        points=(
            changed(TWO.points[0], result=PointResult.GOOD),
            point_status("logs", attempt=2, taken_at=NOW - minutes(1)),
        ),
    )

    decision = machine.decide(seen(second, points={"logs": READY_POINT}))

    assert decision.status.phase is BackupPhase.COMPLETED
    assert decision.actions == (MarkGood("logs"),)
    assert decision.status.points[0].attempt == 1


def test_only_the_snapshots_of_this_attempt_are_marked_failed() -> None:
    second = changed(
        TWO,
        attempt=2,
        points=(
            point_status("data", PointResult.FAILED, attempt=1),
            point_status("logs", attempt=2, taken_at=NOW),
        ),
    )

    decision = machine.decide(seen(second, points={}))

    assert decision.actions == (MarkFailed("logs-2"),)


def test_the_message_names_every_dump_and_point_that_failed() -> None:
    both = status(
        BackupPhase.SNAPSHOTTING,
        plan=plan("data", "logs", dumps=(planned_dump(),), retries=0),
        dumps=(dump_status(state=DumpState.FAILED, message="FATAL: no such database"),),
        points=(point_status("logs"),),
    )

    decision = machine.decide(seen(both, points={"logs": PointSeen(claim_gone=True)}))

    assert decision.status.message == (f"dump shop: FATAL: no such database; claim logs: {LOST}")


def test_the_size_is_that_of_the_dumps_if_there_are_any() -> None:
    dumped = changed(TWO, dumps=(dump_status(state=DumpState.DONE, bytes=1500),))

    decision = machine.decide(seen(dumped, points={"data": READY_POINT, "logs": READY_POINT}))

    assert decision.status.size == "1.5Ki"


def test_a_dump_that_is_in_no_good_point_adds_nothing_to_the_size() -> None:
    half = changed(
        TWO,
        plan=plan("data", "logs", retries=0),
        dumps=(
            dump_status("a", DumpState.DONE, bytes=100),
            dump_status("b", DumpState.DONE, at=place("logs"), bytes=5000),
        ),
    )

    assert machine.decide(seen(half, points=HALF)).status.size == "100"


def test_a_run_whose_sizes_nobody_knows_reports_none() -> None:
    unknown = replace(READY_POINT, restore_size=None)

    decision = machine.decide(seen(TWO, points={"data": unknown, "logs": unknown}))

    assert (decision.status.phase, decision.status.size) == (BackupPhase.COMPLETED, None)


def test_a_point_still_pending_keeps_the_attempt_going() -> None:
    decision = machine.decide(seen(TWO, points={"data": READY_POINT, "logs": TAKEN_POINT}))

    assert decision.status.phase is BackupPhase.UPLOADING
    assert decision.actions == (MarkGood("data"),)
    assert [p.result for p in decision.status.points] == [PointResult.GOOD, PointResult.PENDING]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0Ki"),
        (10 * 1024, "10Ki"),
        (1288490189, "1.2Gi"),
        (5 * 1024**5, "5120.0Ti"),
        (10**400, "8388608.0Ti"),
    ],
)
def test_a_size_is_reported_in_binary_units(size: int, text: str) -> None:
    assert format_size(size) == text


def test_a_run_ends_where_the_status_of_its_points_is_refused() -> None:
    last = changed(TWO, plan=plan("data", "logs", retries=0))

    decision = machine.fail(seen(last, points=HALF), "status.points[0].bytes: Invalid value")

    assert decision.status.phase is BackupPhase.FAILED
    assert "status.points[0].bytes" in (decision.status.message or "")
    assert {type(action) for action in decision.actions} == {MarkFailed}


def test_a_plan_that_is_refused_ends_the_run_before_it_begins() -> None:
    decision = machine.fail(seen(status(), plan=plan()), "status.plan.pools: Too many")

    assert decision.status.phase is BackupPhase.FAILED
    assert decision.status.message == "status.plan.pools: Too many"
