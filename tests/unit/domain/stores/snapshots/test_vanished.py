"""Points that went: which were swept, which are missing, and what is reported of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW, content, plan, point_status, snapshot, spec
from tests.support.planned import planned
from tests.support.snapshot_passes import OLD, OVERDUE, mirrored, seen
from tests.unit.domain.stores.snapshots.test_upkeep_plan import POLICY, finished, labelled, settled

from backstay.api.backup import BackupPhase, BackupStatus, Trigger
from backstay.api.common import Condition, changed
from backstay.api.point import PointGone, PointResult, PointStatus
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.missing import POINTS_MISSING
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.judging import Seen

KEPT = labelled("kept", 22)
LOST = labelled("lost", 21)
LATER = NOW + timedelta(minutes=5)


def shown(world: Seen) -> dict[str, BackupStatus]:
    """The status of every record once the pass has written what it wants, by name."""
    after = {run.name: run.status for run in world.finished}
    return after | {run.name: status for run, status in planned(world).shown}


def entry(world: Seen, name: str = "lost") -> PointStatus:
    return shown(world)[name].points[0]


def written(world: Seen) -> Seen:
    """The world once the statuses and conditions of a pass are written."""
    done, found = planned(world), shown(world)
    runs = [replace(run, status=found[run.name]) for run in world.finished]
    return replace(world, finished=runs, conditions=done.conditions or world.conditions)


def reported(world: Seen) -> Condition | None:
    return next((c for c in world.conditions if c.type == POINTS_MISSING), None)


def hash_of(condition: Condition | None) -> frozenset[str]:
    assert condition is not None
    plans = condition.message.partition(f"{labels.RELEASE_RETENTION}=")[2].split()[0]
    return frozenset(plans.split(","))


def world_with(lost: Run, *there: Obj, contents: list[Obj] | None = None, **values: Any) -> Seen:
    """A policy with a point that is there, and the record of one that may not be."""
    kept = finished(KEPT, name="kept")
    points = (KEPT, *there)
    bound = [mirrored(KEPT), *(contents or [])]
    return seen(*points, contents=bound, policy=POLICY, finished=[kept, lost], **values)


def contents_of(*others: Obj) -> dict[str, Obj]:
    return {c["metadata"]["name"]: c for c in (mirrored(KEPT), *others)}


def deleting(obj: Obj) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": OLD}}


def lost(**values: Any) -> Run:
    return finished(LOST, name="lost", until="daily until 11-23", **values)


def test_a_point_that_went_without_a_sweep_is_missing_and_its_record_stays_as_gone() -> None:
    world = world_with(lost())

    plan_ = planned(world)

    status = shown(world)["lost"]
    assert (status.phase, status.until, status.tiers) == (BackupPhase.GONE, "gone", None)
    (point,) = status.points
    assert (point.gone, point.gone_at) == (PointGone.MISSING, NOW)
    assert point.message == (
        "its VolumeSnapshot and its VolumeSnapshotContent are gone; the driver's name of its disk "
        "snapshot is handle-lost"
    )
    assert plan_.removable == []
    assert plan_.moved
    assert plan_.wait == upkeep.POLL


def test_what_is_missing_is_reported_once_the_records_say_it_and_then_the_pass_is_idle() -> None:
    world = world_with(lost())
    assert planned(world).conditions is None

    first = written(world)
    second = written(first)

    condition = reported(second)
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "NotFound")
    assert condition.message.startswith("claim data: 1 good point is missing, first lost: its Vol")
    assert f"kubectl annotate backuppolicy shop {labels.RELEASE_RETENTION}=" in condition.message
    assert condition.message.endswith("--overwrite -n team")
    assert planned(replace(second, now=LATER)).idle


def test_a_person_who_accepts_the_loss_ends_it_and_the_record_goes() -> None:
    world = written(written(world_with(lost())))

    accepting = replace(world, released=hash_of(reported(world)))

    assert entry(accepting).gone is PointGone.ACCEPTED
    assert entry(accepting).gone_at == NOW
    assert planned(accepting).removable == []
    done = written(accepting)
    assert [r.name for r in planned(done).removable] == ["lost"]
    condition = reported(written(done))
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "NoneMissing")


def test_another_hash_accepts_nothing() -> None:
    world = replace(written(world_with(lost())), released=frozenset({"0123456789"}))

    assert entry(world).gone is PointGone.MISSING
    assert planned(world).removable == []


def test_what_was_accepted_in_part_when_the_process_died_keeps_its_hash() -> None:
    runs = [finished(labelled(n, 21), name=n) for n in ("one", "two")]
    world = written(settled(KEPT, policy=POLICY, finished=[finished(KEPT, name="kept"), *runs]))
    plans = hash_of(reported(written(world)))
    whole = shown(replace(world, released=plans))
    assert {whole[n].points[0].gone for n in ("one", "two")} == {PointGone.ACCEPTED}

    # only the first of two statuses was written
    half = replace(
        world,
        finished=[
            replace(r, status=whole["one"]) if r.name == "one" else r for r in world.finished
        ],
    )

    again = replace(half, released=plans)
    assert entry(again, "two").gone is PointGone.ACCEPTED
    assert planned(again).removable == []
    assert {r.name for r in planned(written(again)).removable} == {"one", "two"}


def test_a_point_that_comes_back_and_is_lost_again_is_reported_again() -> None:
    first = written(written(world_with(lost())))
    plans = hash_of(reported(first))
    back = written(replace(first, snapshots=[KEPT, LOST], contents=contents_of(mirrored(LOST))))
    assert entry(back).gone is None

    again = replace(back, snapshots=[KEPT], contents={"content-kept": mirrored(KEPT)}, now=LATER)
    again = replace(again, released=plans)

    assert entry(again).gone is PointGone.MISSING
    assert entry(written(again)).gone is PointGone.MISSING


@pytest.mark.parametrize(
    ("planned", "phase"),
    [(("data",), BackupPhase.COMPLETED), (("data", "logs"), BackupPhase.PARTIALLY_FAILED)],
)
def test_a_point_that_comes_back_gives_its_record_the_phase_that_it_had(
    planned: tuple[str, ...], phase: BackupPhase
) -> None:
    run = lost()
    run = replace(run, status=changed(run.status, plan=plan(*planned), phase=phase))
    gone = written(world_with(run))
    assert shown(gone)["lost"].phase is BackupPhase.GONE

    back = replace(gone, snapshots=[KEPT, LOST], contents=contents_of(mirrored(LOST)))

    status = shown(back)["lost"]
    assert (status.phase, status.until) == (phase, "daily until 11-23")
    (point,) = status.points
    assert (point.gone, point.gone_at, point.message) == (None, None, None)


def test_a_sweep_is_announced_before_it_deletes_and_never_reported() -> None:
    old = snapshot("lost", OLD, extra=OVERDUE)
    world = world_with(lost(), old, contents=[mirrored(old)])

    status = shown(world)["lost"]
    assert (status.points[0].gone, status.until) == (PointGone.SWEPT, "swept")
    assert status.phase is BackupPhase.COMPLETED
    announced = written(world)
    intent = mirrored(old, sweep="uid-lost")
    going = snapshot("lost", OLD, extra=OVERDUE, deletionTimestamp=OLD)
    gone = replace(announced, snapshots=[KEPT])
    for later in (
        replace(announced, contents=contents_of(intent)),
        replace(announced, snapshots=[KEPT, going], contents=contents_of(intent)),
        replace(gone, contents=contents_of(intent)),
        replace(gone, contents=contents_of(mirrored(old, policy="Delete", sweep="uid-lost"))),
        replace(gone, contents=contents_of(deleting(intent))),
        replace(gone, contents=contents_of(mirrored(old))),
        replace(gone, contents=contents_of()),
    ):
        assert entry(later).gone is PointGone.SWEPT
        assert reported(written(written(later))) is None
    assert [r.name for r in planned(replace(gone, contents=contents_of())).removable] == ["lost"]


def test_an_announcement_is_taken_back_when_the_point_is_not_due_any_more() -> None:
    held = snapshot("lost", OLD, extra={**OVERDUE, "hold": "true", "daily": "2026-11-18"})
    world = world_with(lost(gone=PointGone.SWEPT, gone_at=NOW), held, contents=[mirrored(held)])

    assert (entry(world).gone, entry(world).gone_at) == (None, None)


@pytest.mark.parametrize("extra", [{}, {**OVERDUE, "hold": "true"}], ids=["no date", "held"])
def test_an_announcement_that_the_content_contradicts_is_no_excuse(extra: dict[str, str]) -> None:
    """It stayed, and does not say that it was due: whoever deleted its snapshot, no sweep did."""
    left = mirrored(snapshot("lost", OLD, extra=extra))
    world = world_with(lost(gone=PointGone.SWEPT, gone_at=NOW), contents=[left])

    assert entry(world).gone is PointGone.MISSING
    assert entry(world).message == (
        "its VolumeSnapshot is gone; its VolumeSnapshotContent content-lost is left and can be "
        "rebound"
    )


def test_a_due_point_that_a_person_deletes_is_not_reported() -> None:
    going = snapshot("lost", OLD, extra=OVERDUE, deletionTimestamp=OLD)

    assert entry(world_with(lost(), going)).gone is PointGone.SWEPT


def test_no_sweep_begins_while_the_run_that_made_the_point_goes_on() -> None:
    """Its Backup is not final: it could not learn of the sweep, and would miss the point."""
    old = snapshot("old", OLD, extra=OVERDUE)
    world = settled(KEPT, old, running=frozenset({"run-old"}))

    item = next(i for i in planned(world).items if i.point.name == "old")

    assert (item.sweep, item.due) == (None, False)


def bound_to(obj: Obj, uid: str) -> Obj:
    ref = {**obj["spec"]["volumeSnapshotRef"], "uid": uid}
    return {**obj, "spec": {**obj["spec"], "volumeSnapshotRef": ref}}


def of_disk(obj: Obj, handle: str) -> Obj:
    return {**obj, "status": {**obj["status"], "snapshotHandle": handle}}


def with_status(obj: Obj, **values: Any) -> Obj:
    return {**obj, "status": {**obj["status"], **values}}


SPOILED: list[tuple[Obj | None, Obj | None, str]] = [
    (None, None, "its VolumeSnapshot and its VolumeSnapshotContent are gone"),
    (None, mirrored(LOST), "its VolumeSnapshotContent content-lost is left and can be rebound"),
    (None, deleting(mirrored(LOST)), "and its VolumeSnapshotContent content-lost is being deleted"),
    (deleting(LOST), mirrored(LOST), "its VolumeSnapshot is being deleted"),
    (LOST, None, "its VolumeSnapshotContent content-lost is gone"),
    (LOST, deleting(mirrored(LOST)), "its VolumeSnapshotContent content-lost is being deleted"),
    (LOST, bound_to(mirrored(LOST), "uid-other"), "is of another VolumeSnapshot"),
    (LOST, of_disk(mirrored(LOST), "h2"), "is of disk snapshot h2 now, and was of handle-lost"),
    (with_status(LOST, readyToUse=False), mirrored(LOST), "is not ready to use any more"),
    (
        with_status(LOST, boundVolumeSnapshotContentName=None),
        mirrored(LOST),
        "is bound to no VolumeSnapshotContent",
    ),
]


@pytest.mark.parametrize(("left", "bound", "why"), SPOILED, ids=[why for _, _, why in SPOILED])
def test_a_point_that_cannot_be_restored_from_is_missing_whatever_is_left_of_it(
    left: Obj | None, bound: Obj | None, why: str
) -> None:
    there = [left] if left is not None else []
    world = world_with(lost(), *there, contents=[bound] if bound is not None else [])

    assert entry(world).gone is PointGone.MISSING
    assert why in (entry(world).message or "")
    # and it stays the same as long as nothing changes
    assert planned(replace(written(written(world)), now=LATER)).shown == []


def test_a_snapshot_that_lost_our_label_is_no_loss() -> None:
    bare = {**LOST, "metadata": {**LOST["metadata"], "labels": {}}}
    world = world_with(lost(), contents=[mirrored(LOST)], unlabelled=[bare])

    assert (entry(world).gone, entry(world).until) == (None, "kept")
    assert not planned(written(world)).moved


def test_a_content_under_another_name_and_a_handle_not_known_yet_are_noted() -> None:
    rebound = {**LOST, "status": {**LOST["status"], "boundVolumeSnapshotContentName": "new"}}
    bound = mirrored(rebound)
    world = world_with(lost(), rebound, contents=[bound])
    assert (entry(world).content, entry(world).handle) == ("new", "handle-lost")

    fresh = world_with(lost(handle=None), LOST, contents=[mirrored(LOST)])
    assert entry(fresh).handle == "handle-lost"
    long = of_disk(mirrored(LOST), "h" * 2000)
    assert entry(world_with(lost(handle=None), LOST, contents=[long])).handle is None


def test_a_record_recreated_too_late_for_a_sweep_is_not_reported_and_goes() -> None:
    made = replace(
        finished(LOST, name="lost", until=None, handle=None),
        spec=spec(trigger=Trigger.IMPORTED),
    )
    world = world_with(made)

    assert entry(world).gone is PointGone.SWEPT
    assert [r.name for r in planned(world).removable] == ["lost"]
    # but of an orphan it is, and so is one that a pass has seen
    orphan = world_with(made, contents=[mirrored(LOST)])
    assert entry(orphan).gone is PointGone.MISSING
    seen_once = replace(lost(), spec=spec(trigger=Trigger.IMPORTED))
    assert entry(world_with(seen_once)).gone is PointGone.MISSING


def test_failed_points_are_none_that_are_missed() -> None:
    run = lost()
    failed = changed(point_status(result=PointResult.FAILED), snapshot="lost")
    status = changed(run.status, phase=BackupPhase.FAILED, points=(failed,))
    world = world_with(replace(run, status=status))

    assert (entry(world).gone, shown(world)["lost"].phase) == (None, BackupPhase.FAILED)


def test_a_run_of_which_one_point_is_left_keeps_its_phase_and_reports_the_other() -> None:
    first, second = labelled("first", 22), LOST
    run = finished(first, second, name="both")
    world = settled(first, policy=POLICY, finished=[run])

    status = shown(world)["both"]

    assert status.phase is BackupPhase.COMPLETED
    assert [p.gone for p in status.points] == [None, PointGone.MISSING]
    assert status.until == "mixed"


def test_without_its_policy_nothing_is_reported_but_the_record_says_it() -> None:
    world = replace(world_with(lost()), policy=None, rules=None)

    assert entry(world).gone is PointGone.MISSING
    assert planned(written(world)).conditions is None
    assert planned(written(world)).removable == []


def test_a_growing_loss_gets_another_hash_and_the_first_word_does_not_count_for_it() -> None:
    first = written(written(world_with(lost())))
    plans = hash_of(reported(first))
    more = finished(labelled("more", 20), name="more")

    grown = written(replace(first, finished=[*first.finished, more], now=LATER))

    assert hash_of(reported(written(grown))) != plans
    assert entry(replace(grown, released=plans), "more").gone is PointGone.MISSING


@pytest.mark.parametrize(
    ("known", "notes", "resets"),
    [({labels.RESULT: "good"}, {}, True), ({}, {}, False), ({}, {"sweep": "uid-kept"}, False)],
    ids=["somebody did that", "never mirrored", "our intent"],
)
def test_a_good_content_that_somebody_made_delete_is_made_retain_again_and_reported(
    known: dict[str, str], notes: dict[str, str], resets: bool
) -> None:
    exposed = content(KEPT, policy="Delete", **notes)
    exposed["metadata"]["labels"] = known

    (item,) = planned(seen(KEPT, contents=[exposed])).items

    assert item.content is not None
    assert item.content.spec == {"deletionPolicy": "Retain"}
    assert item.resets is resets
