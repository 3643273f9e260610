"""Runs whose copies are made of their snapshots, whatever fails and whatever is seen first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import event, given
from hypothesis import strategies as st
from tests.support.builders import (
    NOW,
    READY_POINT,
    TAKEN_POINT,
    look,
    look_done,
    minutes,
    place,
    planned_dump,
    seen,
)
from tests.support.builders import plan as plan_of_claims
from tests.support.sampling import searched

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.common import changed
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
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import current_dump, dump_entry, origin_of
from backstay.domain.run.values import Decision, Seen
from backstay.domain.stores.copies.actions import StartCopy
from backstay.domain.stores.copies.plan import COPIES
from backstay.domain.stores.dumps_inside import dumps_inside
from backstay.domain.stores.making import Making
from backstay.domain.stores.snapshots.actions import CreateSnapshot
from backstay.domain.stores.snapshots.sights import PointSeen
from backstay.domain.stores.temporary import Temporary

ROUNDS = 400
DUMPED = "a"
"""The claim with the dump."""


def make_plan(claims: list[str], retries: int, *, dumps: bool) -> RunPlan:
    made = plan_of_claims(*claims, dumps=(planned_dump(),) if dumps else (), retries=retries)
    settings = Rolling(
        destination=RollingDestination(claim=RollingClaim(name="nas")),
        copy_method=CopyMethod.SNAPSHOT,
    )
    copies = tuple(PlannedCopy(claim=name) for name in claims)
    points = [PlannedPoint(source=n, store=ROLLING, claim=n, made_of=SNAPSHOT) for n in claims]
    rolling = PlannedRolling(copies=copies, settings=settings)
    return changed(made, rolling=rolling, points=(*made.points, *points))


@dataclass(slots=True)
class World:
    """Fates are drawn as they are met, and kept by what they are of."""

    data: st.DataObject
    status: BackupStatus
    now: datetime = NOW
    inside: dict[str, str] = field(default_factory=dict)
    """The dump in each snapshot, by name."""
    fates: dict[tuple[str, ...], str] = field(default_factory=dict)

    def fate(self, choices: list[str], *of: object) -> str:
        key = tuple(map(str, of))
        if key not in self.fates:
            self.fates[key] = self.data.draw(st.sampled_from(choices), label=" ".join(key))
        return self.fates[key]

    def look(self) -> Seen:
        points = {p.source: self.snapshot(p) for p in self.pending(SNAPSHOT) if p.ref}
        entry, dump = COPIES.current(self.status), None
        copy = self.copy(entry) if entry is not None and entry.requested_at else None
        if current_dump(self.status) is not None:
            dump = self.dump()
        done = dump_entry(self.status, "shop")
        checks = {"shop": look_done(self.sha(done.attempt))} if done is not None else {}
        checks = {name: changed_place(found) for name, found in checks.items()}
        found = {"points": points, "rechecks": checks, "dump": dump, "copy": copy}
        return seen(self.status, now=self.now, **found)

    def pending(self, store: str) -> list[PointStatus]:
        return [p for p in self.status.points if p.store == store and p.pending]

    def sha(self, attempt: int) -> str:
        return f"{attempt:064x}"

    def dump(self) -> DumpSeen:
        entry = dump_entry(self.status, "shop")
        if entry is None or entry.attempt < self.status.attempt:
            return look(DumpSight.NONE, place=place(DUMPED))
        ends = self.fate(["good", "good", "failed"], "dump", self.status.attempt)
        if ends == "failed":
            return look(DumpSight.FAILED, place=place(DUMPED), message="no space")
        return changed_place(look_done(self.sha(self.status.attempt)))

    def snapshot(self, entry: PointStatus) -> PointSeen:
        ref = entry.ref or ""
        if ref not in self.inside:
            return PointSeen()
        ends = self.fate(["ready", "ready", "slow", "lost", "never"], "snapshot", ref)
        taking = self.status.phase is BackupPhase.SNAPSHOTTING
        if ends == "lost":
            return (
                PointSeen()
                if self.fate(["t", "f"], "lost early", ref) == "t"
                else PointSeen(exists=True, ours=False)
            )
        late = ends == "slow" and self.data.draw(st.booleans(), label="slow")
        return TAKEN_POINT if taking or ends == "never" or late else READY_POINT

    def copy(self, entry: PointStatus) -> Making:
        key = ("copy", entry.source, str(entry.attempt))
        ends = self.fate(["good", "good", "failed", "lost", "away", "silent"], *key)
        job = JobSeen(name="job", exists=True, started=ends != "silent")
        if self.fates.get((*key, "made")) is None:
            return Making(temporary=Temporary())
        if ends == "lost":
            self.fates[key] = "good"
            return Making(job, lost=True)
        if ends == "away":
            self.fates[key] = "good"
            return Making(temporary=Temporary())
        if ends == "failed":
            return Making(JobSeen(exists=True, started=True, failed=True), message="full")
        if ends == "silent":
            return Making(job)
        made = changed(
            entry,
            result=PointResult.GOOD,
            ref="2026-11-22T003205Z",
            taken_at=self.now,
            rolling=CopyStatus(uid="u", version="v"),
        )
        return Making(job, result=made)

    def carry_out(self, step: Decision) -> None:
        for action in step.actions:
            if isinstance(action, CreateSnapshot):
                good = {p.key for p in self.status.points if p.result is PointResult.GOOD}
                assert (action.claim, SNAPSHOT) not in good, "a second snapshot"
                self.inside[action.name] = self.sha(self.status.attempt)
            if isinstance(action, StartCopy):
                self.start(step.status, action.series)
        self.status = BackupStatus.model_validate(step.status.dump())
        self.now += max(step.after or timedelta(0), minutes(2))

    def start(self, status: BackupStatus, series: str) -> None:
        (entry,) = [p for p in status.points if p.key == (series, ROLLING)]
        origin = origin_of(status, *entry.key)
        assert origin is not None
        assert origin.result is PointResult.GOOD, "a copy of what is not good"
        self.fates["copy", series, str(entry.attempt), "made"] = "yes"
        dumps = {d.sha256 for d in dumps_inside(status, entry)}
        if series == DUMPED and status.plan is not None and status.plan.dumps:
            assert dumps == {self.inside[origin.ref or ""]}, "not the dump of that snapshot"
        else:
            assert dumps == set()


def changed_place(found: DumpSeen) -> DumpSeen:
    return replace(found, place=place(DUMPED))


@searched(400)
@given(
    claims=st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]]),
    retries=st.integers(0, 2),
    dumps=st.booleans(),
    data=st.data(),
)
def test_every_run_ends_and_no_copy_is_of_anything_but_its_good_snapshot(
    claims: list[str], retries: int, dumps: bool, data: st.DataObject
) -> None:
    world = World(
        data,
        BackupStatus(
            phase=BackupPhase.QUEUED, plan=make_plan(claims, retries, dumps=dumps), started_at=NOW
        ),
    )
    for _ in range(ROUNDS):
        world.carry_out(decide(world.look()))
        asked = [p for p in world.pending(ROLLING) if p.requested_at is not None]
        assert len(asked) <= 1, "two copies at a time"
        if world.status.phase.final:
            break
    status = world.status
    assert status.phase.final, status
    event(status.phase.value)
    good = {p.key for p in status.points if p.result is PointResult.GOOD}
    assert {s for s, store in good if store == ROLLING} <= {
        s for s, store in good if store == SNAPSHOT
    }
    wanted = {p.key for p in status.plan.points} if status.plan else set()
    assert (status.phase is BackupPhase.COMPLETED) is (good == wanted)
    assert not any(p.pending for p in status.points)
