"""What a whole pass does besides its items: conditions, records, waiting, and being idle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.support.builders import NOW, content, point_status, record, snapshot, spec
from tests.support.planned import planned
from tests.support.snapshot_passes import OLD, OVERDUE, TODAY, mirrored, seen

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.point import PointGone, PointResult
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.records.record import DumpRecord
from backstay.domain.retention import shrinkage
from backstay.domain.retention.brakes import Brake
from backstay.domain.retention.shrinkage import accepted_sizes
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.subject import Subject

POLICY: Obj = {"metadata": {"name": "shop", "namespace": "team", "generation": 3}}


def dumped(size: int) -> str:
    """A record whose dump has that size."""
    return record(
        dumps=(DumpRecord("shop", "postgres", "/d/shop", "shop", "a" * 64, size, 999, 999),)
    )


def labelled(name: str, day: int, **notes: str) -> Obj:
    """A point as an earlier pass left it under RULES, if its day is kept."""
    return snapshot(
        name,
        f"2026-11-{day}T00:32:00Z",
        extra={"daily": f"2026-11-{day}"},
        notes=notes,
    )


def settled(*snapshots: Obj, **values: Any) -> upkeep.Seen:
    return seen(*snapshots, contents=[mirrored(s) for s in snapshots], **values)


def finished(
    *points: Obj, until: str | None = "daily until 11-24", name: str = "b", **values: Any
) -> Run:
    """A Backup that shows these points as labelled daily."""
    entries = tuple(
        point_status(
            result=PointResult.GOOD,
            ref=p["metadata"]["name"],
            content=f"content-{p['metadata']['name']}",
            tiers=("daily",),
            until=until,
            **{"handle": f"handle-{p['metadata']['name']}"} | values,
        )
        for p in points
    )
    status = BackupStatus(
        phase=BackupPhase.COMPLETED, points=entries, tiers="daily", until=until, completed_at=NOW
    )
    metadata = {"name": name, "namespace": "team", "uid": f"run-{name}", "resourceVersion": "1"}
    return Subject({"metadata": metadata, "status": status.dump()}, spec(), status)


def kinds(conditions: Iterable[Any]) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in conditions}


def test_a_world_that_needs_nothing_has_an_idle_plan() -> None:
    points = labelled("b", 22), labelled("a", 21)
    runs = [finished(points[0]), finished(points[1], until="daily until 11-23", name="a")]

    plan = planned(settled(*points, policy=POLICY, finished=runs))

    assert plan.idle
    assert (plan.conditions, plan.shown, plan.removable, plan.wait) == (None, [], [], None)


def test_each_thing_to_do_keeps_a_plan_from_being_idle() -> None:
    point = labelled("b", 22)
    world = settled(point, policy=POLICY, finished=[finished(point)])
    gone = finished(snapshot("gone", OLD), name="gone", gone=PointGone.SWEPT, until="swept")

    worlds = {
        "label": replace(world, snapshots=[snapshot("b", TODAY)]),
        "mirror": replace(world, contents={"content-b": content(point)}),
        "condition": replace(world, clock=Brake("ClockSkew", "why")),
        "record": replace(world, finished=[finished(point, until="never")]),
        "removal": replace(world, finished=[*world.finished, gone]),
    }

    assert not [name for name, changed_ in worlds.items() if planned(changed_).idle]


def test_a_record_shows_what_its_points_carry_and_that_one_is_gone() -> None:
    point = labelled("b", 22)
    run = finished(point, snapshot("gone", OLD), until="never")

    ((_, status),) = planned(settled(point, finished=[run])).shown

    assert [(p.tiers, p.until) for p in status.points] == [
        (("daily",), "daily until 11-24"),
        ((), "gone"),
    ]
    assert (status.tiers, status.until) == ("daily", "mixed")


def test_a_swept_record_stays_as_long_as_a_content_that_it_names() -> None:
    going = content(snapshot("gone", OLD), run="run-gone", sweep="uid-gone")
    swept = finished(snapshot("gone", OLD), name="gone", gone=PointGone.SWEPT)
    world = seen(contents=[going], finished=[swept])

    assert planned(world).removable == []
    assert [r.name for r in planned(replace(world, contents={})).removable] == ["gone"]


def test_what_is_on_its_way_out_is_waited_for_ever_more_patiently() -> None:
    fresh = snapshot("a", TODAY, deletionTimestamp="2026-11-22T00:59:59Z")
    stuck = snapshot("a", TODAY, deletionTimestamp="2026-11-22T00:00:00Z")
    ages = [planned(settled(s)).wait for s in (fresh, stuck)]

    assert ages == [timedelta(seconds=2), timedelta(minutes=5)]


def test_a_content_that_a_sweep_left_is_waited_for_and_an_orphan_is_not() -> None:
    gone = snapshot("gone", OLD, extra=OVERDUE)
    swept, intended = mirrored(gone, swept="uid-gone.2026-11-20"), mirrored(gone, sweep="uid-gone")

    assert planned(seen(contents=[swept])).wait == upkeep.POLL
    assert planned(seen(contents=[intended])).wait is None
    off = seen(contents=[swept], clock=Brake("ClockSkew", "why"))
    assert planned(off).wait is None


def test_a_shrunken_dump_freezes_its_series_and_no_other_until_it_is_accepted() -> None:
    large, small = dumped(1000), dumped(499)
    overdue = snapshot("overdue", OLD, extra=OVERDUE, notes={"record": large})
    unkept = snapshot("unkept", "2026-11-19T00:32:00Z", notes={"record": large})
    fine, shrank = labelled("fine", 21, record=large), labelled("shrank", 22, record=small)
    other = [
        snapshot(f"other-{p['metadata']['name']}", p["status"]["creationTime"], extra=extra)
        for p, extra in ((overdue, {"pvc": "b", **OVERDUE}), (shrank, {"pvc": "b"}))
    ]
    world = settled(overdue, unkept, fine, shrank, *other, policy=POLICY)

    plan = planned(world)

    items = {i.point.name: i for i in plan.items}
    assert [n for n, i in items.items() if i.due] == ["other-overdue"]
    assert labels.DELETE_AFTER not in items["unkept"].point.labels
    assert [s.claim for s in plan.stopped.shrunk] == ["data"]
    assert plan.conditions is not None
    assert kinds(plan.conditions) == {"Shrunk": ("True", "DumpShrunk")}
    (reported,) = plan.conditions
    value = reported.message.partition(f"{labels.ACCEPT_SIZE}=")[2].split()[0]
    released = planned(replace(world, accepted=accepted_sizes(value), conditions=plan.conditions))
    assert {i.point.name for i in released.items if i.due} == {"overdue", "other-overdue"}
    assert released.conditions is not None
    assert kinds(released.conditions) == {"Shrunk": ("False", shrinkage.NOT_SHRUNK.reason)}


def test_a_proof_is_taken_back_when_its_series_freezes() -> None:
    overdue = snapshot(
        "overdue", OLD, extra=OVERDUE, notes={"record": dumped(1000)}, deletionTimestamp=TODAY
    )
    shrank = labelled("shrank", 22, record=dumped(1))
    proven = mirrored(overdue, swept="uid-overdue.2026-11-20")
    world = seen(overdue, shrank, contents=[proven, mirrored(shrank)])

    item = next(i for i in planned(world).items if i.point.name == "overdue")

    assert item.content is not None
    assert item.content.labels == {labels.SWEPT: None}


def test_conditions_of_others_stay_and_a_reported_one_is_not_reported_again() -> None:
    points = [snapshot(str(day), f"2026-11-{day}T00:32:00Z") for day in range(10, 23)]
    world = seen(*points, policy=POLICY)

    first = planned(world).conditions

    assert first is not None
    assert kinds(first) == {"RetentionHeld": ("True", "MassMark")}
    assert first[0].observed_generation == 3
    again = replace(world, conditions=first, now=NOW + timedelta(minutes=1))
    assert planned(again).conditions is None
