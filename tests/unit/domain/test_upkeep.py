"""A pass over a policy of two stores: its records and conditions, which speak of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.support.builders import NOW, snapshot
from tests.support.planned import of_copies, of_snapshots, whole
from tests.support.snapshot_passes import mirrored
from tests.support.snapshot_passes import seen as snapshots_seen
from tests.unit.domain.stores.copies import test_missing as copies
from tests.unit.domain.stores.snapshots.test_upkeep_plan import finished, labelled

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import Condition, changed
from backstay.api.point import PointGone, PointStatus
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.objects import Obj
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention import brakes
from backstay.domain.retention.brakes import Brake
from backstay.domain.stores.copies.seen import Seen as CopiesSeen
from backstay.domain.stores.snapshots.judging import Seen as SnapshotsSeen
from backstay.domain.upkeep import Plan

POLICY: Obj = {"metadata": {"name": "shop", "namespace": "team", "generation": 3}}
POINT = labelled("kept", 22)


def both(*, snapshot_gone: PointGone | None = None, **rolling: Any) -> Run:
    """A finished Backup with a snapshot and a copy."""
    of_snapshot = finished(POINT, name="both", gone=snapshot_gone)
    of_copy = copies.run(22, **rolling)
    status = changed(
        of_snapshot.status,
        plan=of_copy.status.plan,
        points=(*of_snapshot.status.points, *of_copy.status.points),
    )
    return replace(of_snapshot, status=status)


@dataclass(frozen=True)
class World:
    """What the stores of a policy have seen, and what its conditions are."""

    snapshots: SnapshotsSeen
    copies: CopiesSeen | None
    conditions: tuple[Condition, ...] = ()


def plan(of: World) -> Plan:
    runs = {r.uid: r for r in (*of.snapshots.finished, *(of.copies.finished if of.copies else ()))}
    stores = [of_snapshots(of.snapshots), of_copies(of.copies)]
    return whole(stores, of.snapshots.now, POLICY, list(runs.values()), of.conditions)


def world(run: Run, *there: Obj, **values: Any) -> World:
    """What a pass over a policy of this run rests on, with these snapshots."""
    shared = {key: values.pop(key) for key in ("clock", "released") if key in values}
    bound = [mirrored(s) for s in there]
    mine = snapshots_seen(*there, contents=bound, policy=POLICY, finished=[run], **shared)
    return World(mine, _copies(mine, run, **shared), **values)


def _copies(mine: SnapshotsSeen, run: Run, **shared: Any) -> CopiesSeen:
    found = copies.seen_of([run])
    return replace(found, now=mine.now, rules=mine.rules, policy=POLICY, **shared)


def shown(of: Plan, run: Run) -> BackupStatus:
    return next((status for found, status in of.shown if found is run), run.status)


def point(status: BackupStatus, store: str) -> PointStatus:
    (found,) = [p for p in status.points if p.store == store]
    return found


def condition(of: Plan, kind: str) -> Condition:
    assert of.conditions is not None
    return next(c for c in of.conditions if c.type == kind)


def test_a_record_shows_how_long_each_store_keeps_its_point() -> None:
    run = both()

    status = shown(plan(world(run, POINT)), run)

    assert all(p.until not in (None, "gone") for p in status.points)
    assert status.phase is BackupPhase.COMPLETED


def test_a_record_goes_with_the_last_of_its_points() -> None:
    swept = both(snapshot_gone=PointGone.SWEPT)
    assert plan(world(swept)).removable == []

    pruned = both(gone=True)
    assert plan(world(pruned, POINT)).removable == []

    neither = both(snapshot_gone=PointGone.SWEPT, gone=True)
    assert [run.name for run in plan(world(neither)).removable] == ["both"]


def test_what_a_store_that_was_not_looked_at_has_is_left_as_it_is() -> None:
    run = both(snapshot_gone=PointGone.SWEPT)

    alone = plan(replace(world(run), copies=None))

    assert alone.removable == []
    before = point(run.status, ROLLING)
    assert point(shown(alone, run), ROLLING) is before


def test_a_run_is_gone_only_when_no_store_has_a_point_of_it() -> None:
    lost = both()

    status = shown(plan(world(lost)), lost)

    assert point(status, SNAPSHOT).gone is PointGone.MISSING
    assert status.phase is BackupPhase.COMPLETED

    lost = both(gone=True)
    assert shown(plan(world(lost)), lost).phase is BackupPhase.GONE


def test_our_clock_is_named_once_for_all_stores() -> None:
    off = Brake("ClockSkew", "our clock is off")

    held = condition(plan(world(both(), POINT, clock=off)), brakes.CONDITION)

    assert (held.status, held.reason, held.message) == ("True", "ClockSkew", "our clock is off")


@pytest.mark.parametrize("stores", [{SNAPSHOT}, {ROLLING}, {SNAPSHOT, ROLLING}])
def test_what_several_stores_hold_back_is_named_together(stores: set[str]) -> None:
    """Each of ten points would go at once, in one store, in the other, or in both."""
    days = range(1, 11) if SNAPSHOT in stores else range(22, 23)
    there = [snapshot(f"data-{day}", f"2026-11-{day:02}T00:32:00Z") for day in days]
    mine = snapshots_seen(*there, contents=[mirrored(s) for s in there], policy=POLICY)
    mine = replace(mine, rules=copies.seen_of([]).rules)
    runs = [copies.run(day) for day in (range(1, 11) if ROLLING in stores else (22,))]
    theirs = replace(copies.seen_of(runs), now=NOW, policy=POLICY)

    held = condition(plan(World(mine, theirs)), brakes.CONDITION)

    assert (held.status, held.reason) == ("True", "MassMark")
    named = {
        SNAPSHOT: "claim data: 9 of 10",
        ROLLING: f"claim {copies.SERIES.key}: 9 of 10",
    }
    assert {store for store, words in named.items() if words in held.message} == stores


def test_a_condition_of_a_store_that_is_given_up_goes_and_what_others_write_stays() -> None:
    said = [
        Condition(type=kind, status="True", reason="Found", message="x", last_transition_time=NOW)
        for kind in ("Ready", "Rot", "Shrunk")
    ]
    of = world(both(), POINT, conditions=tuple(said))

    after = plan(replace(of, copies=None)).conditions

    assert after is not None
    assert {(c.type, c.status) for c in after} >= {("Ready", "True"), ("Shrunk", "False")}
    assert "Rot" not in {c.type for c in after}
    again = replace(of, copies=None, conditions=after)
    assert plan(again).conditions is None
