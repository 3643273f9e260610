"""How a run asks for its snapshots: written down first, then until they are there or it is late."""

from __future__ import annotations

from dataclasses import replace

from tests.support.builders import (
    NOW,
    PENDING_POINT,
    RUN_UID,
    TAKEN_POINT,
    dump_status,
    minutes,
    place,
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
from backstay.api.point import PointResult, PointStatus
from backstay.domain import naming
from backstay.domain.calendar import load_zone
from backstay.domain.run import machine
from backstay.domain.run.values import AT_ONCE, LONGEST_POLL, POLL, Decision
from backstay.domain.stores.snapshots.actions import CreateSnapshot, MarkFailed
from backstay.domain.stores.snapshots.sights import PointSeen
from backstay.domain.stores.snapshots.take import snapshot_name

TAKING = status(BackupPhase.SNAPSHOTTING)
ASKED = changed(TAKING, points=(point_status(),))
DUMPED = changed(
    ASKED,
    plan=plan(dumps=(planned_dump(),)),
    dumps=(dump_status(state=DumpState.DONE),),
)
TIMEOUT = minutes(10)


def the_point(decision: Decision) -> PointStatus:
    (entry,) = decision.status.points
    return entry


def names_asked_for(decision: Decision) -> list[str]:
    return [a.name for a in decision.actions if isinstance(a, CreateSnapshot)]


def test_snapshots_are_written_down_one_round_before_they_are_asked_for() -> None:
    on_data = dump_status("a", DumpState.DONE)
    on_logs = dump_status("b", DumpState.DONE, at=place("logs"))
    dumped = status(
        BackupPhase.DUMPING,
        plan=plan("data", "logs", dumps=(planned_dump("a"), planned_dump("b"))),
        dumps=(on_data, on_logs),
        message="dump b: locked by r2",
    )

    decision = machine.decide(seen(dumped))

    names = ["data-20261122-0032-1f0c5-1", "logs-20261122-0032-1f0c5-1"]
    entries = tuple(
        point_status(claim, ref=name, requested_at=NOW)
        for claim, name in zip(("data", "logs"), names, strict=True)
    )
    taking = changed(dumped, phase=BackupPhase.SNAPSHOTTING, points=entries, message=None)
    assert decision == Decision(taking, (), AT_ONCE)

    asked = machine.decide(seen(taking, now=NOW + POLL))

    assert asked.actions == (
        CreateSnapshot("data", names[0], NOW + POLL, (on_data,)),
        CreateSnapshot("logs", names[1], NOW + POLL, (on_logs,)),
    )
    assert (asked.status, asked.after) == (taking, POLL)


def test_a_run_without_dumps_writes_its_snapshots_down_as_it_is_admitted() -> None:
    decision = machine.decide(seen(status(BackupPhase.QUEUED)))

    assert the_point(decision) == point_status(ref="data-20261122-0032-1f0c5-1", requested_at=NOW)
    assert (decision.status.phase, decision.actions) == (BackupPhase.SNAPSHOTTING, ())


def test_an_ad_hoc_snapshot_is_named_by_the_runs_start_in_the_policys_zone() -> None:
    vienna = changed(TAKING, plan=plan(zone="Europe/Vienna"))
    adhoc = seen(vienna, spec=spec(trigger=Trigger.AD_HOC, scheduled_for=None))

    assert TAKING.started_at is not None
    assert snapshot_name(adhoc, vienna, "data") == naming.snapshot_name(
        "data", TAKING.started_at, load_zone("Europe/Vienna"), RUN_UID, 1
    )
    later = replace(adhoc, now=NOW + minutes(60))
    assert snapshot_name(later, vienna, "data").startswith("data-20261122-0155-")


def test_a_claim_whose_dump_failed_is_not_taken() -> None:
    half = status(
        BackupPhase.DUMPING,
        plan=plan("data", "logs", dumps=(planned_dump(),)),
        dumps=(dump_status(state=DumpState.FAILED),),
    )

    decision = machine.decide(seen(half))

    assert [p.source for p in decision.status.points] == ["logs"]
    assert names_asked_for(machine.decide(seen(decision.status))) == ["logs-20261122-0032-1f0c5-1"]


def test_a_claim_with_a_good_point_is_not_taken_again() -> None:
    retry = status(
        BackupPhase.QUEUED,
        attempt=1,
        plan=plan("data", "logs"),
        points=(
            point_status("data", PointResult.GOOD),
            point_status("logs", PointResult.FAILED),
        ),
    )

    decision = machine.decide(seen(retry))

    name = "logs-20261122-0032-1f0c5-2"
    assert decision.status.points == (
        retry.points[0],
        point_status("logs", attempt=2, ref=name, requested_at=NOW),
    )
    assert names_asked_for(machine.decide(seen(decision.status))) == [name]


def test_a_snapshot_that_is_not_there_is_asked_for_until_the_deadline() -> None:
    refused = changed(ASKED, points=(point_status(requested_at=NOW - TIMEOUT),))

    decision = machine.decide(seen(refused, points={"data": PointSeen()}))

    again = CreateSnapshot("data", "data-1", NOW, ())
    assert decision == Decision(refused, (again,), POLL)


def test_a_create_that_is_refused_until_the_deadline_fails_the_point_with_what_was_said() -> None:
    entry = point_status(requested_at=NOW - TIMEOUT - minutes(0.1))
    refused = changed(ASKED, points=(entry,), message="exceeded quota: snapshots")

    decision = machine.decide(seen(refused, points={"data": PointSeen()}))

    why = "not created within takeTimeout (0:10:00): exceeded quota: snapshots"
    assert the_point(decision) == changed(entry, result=PointResult.FAILED, message=why)
    assert decision.status.phase is BackupPhase.QUEUED
    assert decision.actions == (MarkFailed("data-1"),)


def test_a_create_that_went_through_at_last_clears_what_was_said() -> None:
    refused = changed(ASKED, message="exceeded quota: snapshots")

    decision = machine.decide(seen(refused, points={"data": PENDING_POINT}))

    assert decision == Decision(ASKED, (), LONGEST_POLL)


def test_a_snapshot_that_is_deleted_before_the_snapshot_is_asked_for_again() -> None:
    on_claim = CreateSnapshot("data", "data-1", NOW, DUMPED.dumps)

    before = machine.decide(seen(DUMPED, points={"data": PENDING_POINT}))
    deleted = machine.decide(seen(before.status, points={"data": PointSeen()}))

    assert before == Decision(DUMPED, (), LONGEST_POLL)
    assert deleted == Decision(DUMPED, (on_claim,), POLL)


def test_a_snapshot_that_is_deleted_after_the_snapshot_is_lost() -> None:
    taken = point_status("data", taken_at=NOW - minutes(1))
    two = changed(TAKING, plan=plan("data", "logs"), points=(taken, point_status("logs")))

    waiting = machine.decide(seen(two, points={"data": PointSeen(), "logs": PENDING_POINT}))
    uploading = machine.decide(seen(two, points={"data": PointSeen(), "logs": TAKEN_POINT}))
    lost = machine.decide(seen(uploading.status, points={"data": PointSeen(), "logs": TAKEN_POINT}))

    assert waiting == Decision(two, (), LONGEST_POLL)
    assert (uploading.status.phase, uploading.actions) == (BackupPhase.UPLOADING, ())
    assert [p.result for p in lost.status.points] == [PointResult.FAILED, PointResult.PENDING]
    assert lost.actions == ()
