"""A run while its snapshots are cut and become ready."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import (
    CUT_POINT,
    NOW,
    NOWHERE,
    PENDING_POINT,
    READY_POINT,
    RUN_UID,
    dump_status,
    look,
    look_done,
    minutes,
    place,
    plan,
    planned_dump,
    point_status,
    seen,
    spec,
    status,
)

from backstay.api.backup import BackupPhase, DumpState, PointResult, PointStatus, Trigger
from backstay.api.common import changed
from backstay.domain import naming, run
from backstay.domain.calendar import load_zone
from backstay.domain.errors import DataError
from backstay.domain.sights import DumpSeen, DumpSight, PointSeen

CUTTING = status(BackupPhase.SNAPSHOTTING)
ASKED = changed(CUTTING, points=(point_status(),))
DUMPED = changed(
    ASKED,
    plan=plan(dumps=(planned_dump(),)),
    dumps=(dump_status(state=DumpState.DONE),),
)
UPLOADING = status(
    BackupPhase.UPLOADING, points=(point_status(cut_at=NOW - minutes(1), content="content-1"),)
)
ELSEWHERE = ": only on another claim"


def the_point(decision: run.Decision) -> PointStatus:
    (entry,) = decision.status.points
    return entry


def names_asked_for(decision: run.Decision) -> list[str]:
    return [a.name for a in decision.actions if isinstance(a, run.CreateSnapshot)]


def test_snapshots_are_written_down_one_round_before_they_are_asked_for() -> None:
    on_data = dump_status("a", DumpState.DONE)
    on_logs = dump_status("b", DumpState.DONE, at=place("logs"))
    dumped = status(
        BackupPhase.DUMPING,
        plan=plan("data", "logs", dumps=(planned_dump("a"), planned_dump("b"))),
        dumps=(on_data, on_logs),
        message="dump b: locked by r2",
    )

    decision = run.decide(seen(dumped))

    names = ["data-20261122-0032-1f0c5-1", "logs-20261122-0032-1f0c5-1"]
    entries = tuple(
        point_status(claim, snapshot=name, requested_at=NOW)
        for claim, name in zip(("data", "logs"), names, strict=True)
    )
    cutting = changed(dumped, phase=BackupPhase.SNAPSHOTTING, points=entries, message=None)
    assert decision == run.Decision(cutting, (), run.AT_ONCE)

    asked = run.decide(seen(cutting, now=NOW + run.POLL))

    assert asked.actions == (
        run.CreateSnapshot("data", names[0], NOW + run.POLL, (on_data,)),
        run.CreateSnapshot("logs", names[1], NOW + run.POLL, (on_logs,)),
    )
    assert (asked.status, asked.after) == (cutting, run.POLL)


def test_a_run_without_dumps_writes_its_snapshots_down_as_it_is_admitted() -> None:
    decision = run.decide(seen(status(BackupPhase.QUEUED)))

    assert the_point(decision) == point_status(
        snapshot="data-20261122-0032-1f0c5-1", requested_at=NOW
    )
    assert (decision.status.phase, decision.actions) == (BackupPhase.SNAPSHOTTING, ())


def test_an_ad_hoc_snapshot_is_named_by_the_runs_start_in_the_policys_zone() -> None:
    vienna = changed(CUTTING, plan=plan(zone="Europe/Vienna"))
    adhoc = seen(vienna, spec=spec(trigger=Trigger.AD_HOC, scheduled_for=None))

    assert CUTTING.started_at is not None
    assert run.snapshot_name(adhoc, vienna, "data") == naming.snapshot_name(
        "data", CUTTING.started_at, load_zone("Europe/Vienna"), RUN_UID, 1
    )
    later = replace(adhoc, now=NOW + minutes(60))
    assert run.snapshot_name(later, vienna, "data").startswith("data-20261122-0155-")


def test_a_claim_whose_dump_failed_is_not_cut() -> None:
    half = status(
        BackupPhase.DUMPING,
        plan=plan("data", "logs", dumps=(planned_dump(),)),
        dumps=(dump_status(state=DumpState.FAILED),),
    )

    decision = run.decide(seen(half))

    assert [p.claim for p in decision.status.points] == ["logs"]
    assert names_asked_for(run.decide(seen(decision.status))) == ["logs-20261122-0032-1f0c5-1"]


def test_a_claim_with_a_good_point_is_not_cut_again() -> None:
    retry = status(
        BackupPhase.QUEUED,
        attempt=1,
        plan=plan("data", "logs"),
        points=(
            point_status("data", PointResult.GOOD),
            point_status("logs", PointResult.FAILED),
        ),
    )

    decision = run.decide(seen(retry))

    name = "logs-20261122-0032-1f0c5-2"
    assert decision.status.points == (
        retry.points[0],
        point_status("logs", attempt=2, snapshot=name, requested_at=NOW),
    )
    assert names_asked_for(run.decide(seen(decision.status))) == [name]


TIMEOUT = minutes(10)


def test_a_snapshot_that_is_not_there_is_asked_for_until_the_deadline() -> None:
    refused = changed(ASKED, points=(point_status(requested_at=NOW - TIMEOUT),))

    decision = run.decide(seen(refused, points={"data": PointSeen()}))

    again = run.CreateSnapshot("data", "data-1", NOW, ())
    assert decision == run.Decision(refused, (again,), run.POLL)


def test_a_create_that_is_refused_until_the_deadline_fails_the_point_with_what_was_said() -> None:
    entry = point_status(requested_at=NOW - TIMEOUT - minutes(0.1))
    refused = changed(ASKED, points=(entry,), message="exceeded quota: snapshots")

    decision = run.decide(seen(refused, points={"data": PointSeen()}))

    why = "not created within cutTimeout (0:10:00): exceeded quota: snapshots"
    assert the_point(decision) == changed(entry, result=PointResult.FAILED, message=why)
    assert decision.status.phase is BackupPhase.QUEUED
    assert decision.actions == (run.MarkFailed("data-1", why),)


def test_a_create_that_went_through_at_last_clears_what_was_said() -> None:
    refused = changed(ASKED, message="exceeded quota: snapshots")

    decision = run.decide(seen(refused, points={"data": PENDING_POINT}))

    assert decision == run.Decision(ASKED, (), run.POLL)


def test_a_snapshot_that_is_deleted_before_the_cut_is_asked_for_again() -> None:
    on_claim = run.CreateSnapshot("data", "data-1", NOW, DUMPED.dumps)

    before = run.decide(seen(DUMPED, points={"data": PENDING_POINT}))
    deleted = run.decide(seen(before.status, points={"data": PointSeen()}))

    assert before == run.Decision(DUMPED, (), run.POLL)
    assert deleted == run.Decision(DUMPED, (on_claim,), run.POLL)


def test_a_snapshot_that_is_deleted_after_the_cut_is_lost() -> None:
    cut = point_status("data", cut_at=NOW - minutes(1))
    two = changed(CUTTING, plan=plan("data", "logs"), points=(cut, point_status("logs")))

    waiting = run.decide(seen(two, points={"data": PointSeen(), "logs": PENDING_POINT}))
    uploading = run.decide(seen(two, points={"data": PointSeen(), "logs": CUT_POINT}))
    lost = run.decide(seen(uploading.status, points={"data": PointSeen(), "logs": CUT_POINT}))

    assert waiting == run.Decision(two, (), run.POLL)
    assert (uploading.status.phase, uploading.actions) == (BackupPhase.UPLOADING, ())
    assert [p.result for p in lost.status.points] == [PointResult.FAILED, PointResult.PENDING]
    assert lost.actions == ()


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (PointSeen(claim_gone=True), "there is no VolumeSnapshot of it"),
        (replace(CUT_POINT, ours=False), "taken by one that this run did not make"),
        (replace(CUT_POINT, result=PointResult.FAILED), "labelled failed"),
    ],
    ids=["claim gone", "foreign", "labelled failed"],
)
@pytest.mark.parametrize("phase", [BackupPhase.SNAPSHOTTING, BackupPhase.UPLOADING])
def test_a_point_that_is_lost_fails(phase: BackupPhase, point: PointSeen, why: str) -> None:
    of = changed(DUMPED if phase is BackupPhase.SNAPSHOTTING else UPLOADING, phase=phase)

    decision = run.decide(seen(of, points={"data": point}, rechecks={"shop": look_done()}))

    assert the_point(decision).result is PointResult.FAILED
    assert why in (the_point(decision).message or "")
    assert decision.status.phase is BackupPhase.QUEUED
    assert decision.actions == (run.MarkFailed("data-1", the_point(decision).message or ""),)


def test_a_snapshot_that_is_gone_while_it_becomes_ready_fails_its_point() -> None:
    decision = run.decide(seen(UPLOADING, points={"data": PointSeen()}))

    assert the_point(decision).message == PointSeen().lost()
    assert decision.actions == (run.MarkFailed("data-1", PointSeen().lost()),)


def test_a_foreign_snapshot_is_never_counted_even_if_it_is_labelled_good() -> None:
    foreign = replace(READY_POINT, ours=False, result=PointResult.GOOD)

    decision = run.decide(seen(UPLOADING, points={"data": foreign}))

    assert the_point(decision).result is PointResult.FAILED


def test_a_snapshot_that_is_not_cut_yet_is_waited_for_with_its_error() -> None:
    stuck = replace(PENDING_POINT, error="driver\n is busy")

    decision = run.decide(seen(ASKED, points={"data": stuck}))

    assert the_point(decision) == point_status(message="driver is busy")
    assert (decision.status.phase, decision.after) == (BackupPhase.SNAPSHOTTING, run.POLL)
    healed = run.decide(seen(decision.status, points={"data": PENDING_POINT}))
    assert the_point(healed).message is None


@pytest.mark.parametrize(("error", "ending"), [("", "(0:10:00)"), ("no space", ": no space")])
def test_a_snapshot_that_is_not_cut_in_time_fails(error: str, ending: str) -> None:
    late = changed(CUTTING, points=(point_status(requested_at=NOW - minutes(10.1)),))

    decision = run.decide(seen(late, points={"data": replace(PENDING_POINT, error=error)}))

    message = the_point(decision).message or ""
    assert message.startswith("not cut within cutTimeout")
    assert message.endswith(ending)


def test_a_cut_point_without_dumps_goes_on_to_wait_until_it_is_ready() -> None:
    decision = run.decide(seen(ASKED, points={"data": CUT_POINT}))

    assert the_point(decision) == point_status(cut_at=CUT_POINT.cut_at, content="content-1")
    assert (decision.status.phase, decision.after) == (BackupPhase.UPLOADING, run.AT_ONCE)


def test_a_cut_whose_dump_was_read_again_unchanged_is_a_cut() -> None:
    found = seen(DUMPED, points={"data": CUT_POINT}, rechecks={"shop": look_done()})

    decision = run.decide(found)

    assert the_point(decision).cut_at == CUT_POINT.cut_at
    assert decision.status.phase is BackupPhase.UPLOADING


@pytest.mark.parametrize(
    "again",
    [
        look_done("b" * 64),
        *(
            look(sight)
            for sight in DumpSight
            if sight not in (DumpSight.DONE, DumpSight.FAILED, DumpSight.UNREACHABLE)
        ),
    ],
)
def test_a_dump_that_is_another_one_after_the_cut_spoils_the_point(again: DumpSeen) -> None:
    decision = run.decide(seen(DUMPED, points={"data": CUT_POINT}, rechecks={"shop": again}))

    assert the_point(decision).message == "dump shop was replaced before the snapshot was cut"


def test_a_dump_that_reads_as_failed_after_the_cut_spoils_the_point_with_its_own_words() -> None:
    again = look(DumpSight.FAILED, message="exec: there is no sh in the container")

    decision = run.decide(seen(DUMPED, points={"data": CUT_POINT}, rechecks={"shop": again}))

    assert the_point(decision).result is PointResult.FAILED
    assert the_point(decision).message == (
        "dump shop reads as failed after the cut: exec: there is no sh in the container"
    )


@pytest.mark.parametrize(
    ("rechecks", "note"),
    [
        ({"shop": look(DumpSight.UNREACHABLE)}, ""),
        ({"shop": look(DumpSight.UNREACHABLE, message="timeout")}, ": timeout"),
        ({}, ""),
        *(
            ({"shop": replace(look_done(), sight=sight, place=place("replica"))}, ELSEWHERE)
            for sight in DumpSight
        ),
    ],
)
def test_a_dump_that_cannot_be_read_after_the_cut_is_read_until_the_deadline(
    rechecks: dict[str, DumpSeen], note: str
) -> None:
    decision = run.decide(seen(DUMPED, points={"data": CUT_POINT}, rechecks=rechecks))
    late = changed(DUMPED, points=(point_status(requested_at=NOW - minutes(10.1)),))
    failed = run.decide(seen(late, points={"data": CUT_POINT}, rechecks=rechecks))

    assert decision == run.Decision(DUMPED, (), run.POLL)
    assert the_point(failed).message == f"dump shop could not be read after the cut{note}"


def test_only_the_dumps_of_its_own_claim_and_those_of_no_known_claim_bind_a_point() -> None:
    dumps = (
        dump_status("a", DumpState.DONE),
        dump_status("b", DumpState.DONE, at=place("logs")),
        dump_status("c", DumpState.FAILED, at=NOWHERE),
    )

    bound = run.dumps_on(changed(CUTTING, dumps=dumps), "data")

    assert [d.name for d in bound] == ["a", "c"]


def test_no_point_waits_for_readiness_while_another_is_not_cut() -> None:
    two = changed(
        CUTTING, plan=plan("data", "logs"), points=(point_status("data"), point_status("logs"))
    )

    decision = run.decide(seen(two, points={"data": CUT_POINT, "logs": PENDING_POINT}))

    assert (decision.status.phase, decision.after) == (BackupPhase.SNAPSHOTTING, run.POLL)


def test_a_point_that_fails_does_not_hold_up_the_others() -> None:
    two = changed(
        CUTTING, plan=plan("data", "logs"), points=(point_status("data"), point_status("logs"))
    )

    gone = PointSeen(claim_gone=True)
    decision = run.decide(seen(two, points={"data": gone, "logs": CUT_POINT}))

    assert decision.status.phase is BackupPhase.UPLOADING
    assert decision.status.points[0].result is PointResult.FAILED
    assert decision.actions == ()


def test_a_ready_point_is_marked_good_and_ends_the_run() -> None:
    decision = run.decide(seen(UPLOADING, points={"data": READY_POINT}))

    assert decision.actions == (run.MarkGood("data"),)
    assert the_point(decision) == changed(
        UPLOADING.points[0], result=PointResult.GOOD, bytes=1 << 30
    )
    assert (decision.status.phase, decision.after) == (BackupPhase.COMPLETED, None)


def test_a_point_that_is_good_already_is_not_marked_again() -> None:
    good = replace(READY_POINT, result=PointResult.GOOD)

    decision = run.decide(seen(UPLOADING, points={"data": good}))

    assert (decision.actions, decision.status.phase) == ((), BackupPhase.COMPLETED)


def test_a_point_that_is_not_ready_is_waited_for() -> None:
    assert run.decide(seen(UPLOADING, points={"data": CUT_POINT})) == run.Decision(
        UPLOADING, (), run.POLL
    )


def test_a_point_that_is_not_ready_in_time_fails() -> None:
    entry = point_status(requested_at=NOW - minutes(61), cut_at=NOW - minutes(60.1))
    old = changed(UPLOADING, points=(entry,))

    decision = run.decide(seen(old, points={"data": replace(CUT_POINT, error="slow link")}))

    assert the_point(decision).message == "not ready within readyTimeout (1:00:00): slow link"


def test_a_driver_whose_clock_is_wrong_does_not_shorten_the_wait_for_readiness() -> None:
    long_ago = point_status(requested_at=NOW - minutes(2), cut_at=NOW - minutes(9000))

    decision = run.decide(seen(changed(UPLOADING, points=(long_ago,)), points={"data": CUT_POINT}))

    assert the_point(decision).result is PointResult.PENDING


@pytest.mark.parametrize("phase", [BackupPhase.SNAPSHOTTING, BackupPhase.UPLOADING])
def test_a_run_without_its_plan_is_an_error_for_a_person(phase: BackupPhase) -> None:
    with pytest.raises(DataError, match=f"in phase {phase} has no plan"):
        run.decide(seen(changed(ASKED, phase=phase, plan=None), points={"data": CUT_POINT}))
