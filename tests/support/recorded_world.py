"""The world of artifacts with the records of its runs, and another pruner in it.

A pass writes as the retention reconciler does: labels, then what the records show, then the sweeps
that those announce, then the removal of records. What our own sweep deleted and what somebody else
took is noted, to be compared with what the records say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from tests.support import builders
from tests.support.artifact_world import World
from tests.support.artifacts import Killed
from tests.support.planned import Planned, planned

from backstay.api.backup import BackupPhase, BackupStatus
from backstay.api.point import PointGone, PointResult
from backstay.api.store import SNAPSHOT
from backstay.domain import objects
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj, dig
from backstay.domain.records import lifecycle, losses
from backstay.domain.records.lifecycle import Run
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.deletion import Action, Step
from backstay.domain.subject import Subject

POLICY: Obj = {"metadata": {"name": "shop", "namespace": "team", "generation": 1}}


@dataclass
class RecordedWorld(World):
    """See the module."""

    records: dict[str, Run] = field(default_factory=dict)
    """By the name of the point."""
    swept: set[str] = field(default_factory=set)
    """Points whose snapshot our sweep deleted."""
    taken: set[str] = field(default_factory=set)
    """Points that somebody else deleted while nothing of ours was about to."""
    accepted: set[str] = field(default_factory=set)
    """Points that a person took for gone."""

    def end_run(self, name: str, *, good: bool, ready: bool) -> None:
        before = self.snapshots.get(name)
        was_running = f"run-{name}" in self.running and before is not None
        super().end_run(name, good=good, ready=ready)
        if was_running and good and ready:
            entry = builders.point_status(
                result=PointResult.GOOD, ref=name, content=f"content-{name}"
            )
            status = BackupStatus(
                phase=BackupPhase.COMPLETED, points=(entry,), completed_at=self.true
            )
            metadata = {"name": f"b-{name}", "namespace": "team", "uid": f"run-{name}"}
            self.records[name] = Subject({"metadata": metadata}, builders.spec(), status)

    def look(self) -> upkeep.Seen:
        return replace(super().look(), finished=list(self.records.values()), policy=POLICY)

    def take(self, name: str) -> None:
        """Somebody sets the content to Delete and deletes the snapshot; all of it goes."""
        self._note_loss(name)
        self.contents.pop(f"content-{name}", None)
        self.lost_disks.append(f"content-{name}")
        del self.snapshots[name]

    def delete_by_hand(self, name: str) -> None:
        self._note_loss(name)
        super().delete_by_hand(name)

    def _note_loss(self, name: str) -> None:
        """Who deletes what is due, or announced to go, takes nothing from anybody."""
        items = {i.point.name: i for i in planned(self.look()).items}
        record = self.records.get(name)
        announced = record is not None and name in lifecycle.announced(record.status)
        if record is not None and not announced and not items[name].due:
            self.taken.add(name)

    def accept(self) -> None:
        """A person takes for gone what is missing; the pass that follows may die on the way."""
        plans = frozenset(
            held.plan for held, _ in losses.held(list(self.records.values()), SNAPSHOT)
        )
        self.accepted |= {
            entry.ref or ""
            for entries in losses.missing(self.records.values(), SNAPSHOT).values()
            for entry in entries
        }
        self.released |= plans

    def run_pass(
        self,
        *,
        dies_before: int | None = None,
        meddle: tuple[int, Callable[[], None]] | None = None,
    ) -> int:
        self._budget, self._meddle, self.wrote = dies_before, meddle, 0
        seen = self.look()
        plan = planned(seen)
        stored: set[str] = set()
        with contextlib.suppress(Killed):
            for item in plan.items:
                if item.patches:
                    self._attempt(partial(self._carry_out, item))
            for run, status in plan.shown:
                self._attempt(partial(self._show, run, status, stored))
            silent = {
                name
                for run, status in plan.shown
                if run.uid not in stored
                for name in lifecycle.announced(status)
            }
            for item in plan.items:
                if item.acts and not item.patches and item.point.name not in silent:
                    self._attempt(partial(self._carry_out, item))
            if seen.clock is None:
                for content in filter(upkeep.is_leaving, seen.contents.values()):
                    self._attempt(partial(self._finish, content))
            for run in plan.removable:
                self._attempt(partial(self._remove, run, plan))
        self._budget = self._meddle = None
        return self.wrote

    def _name(self, run: Run) -> str:
        return run.name.removeprefix("b-")

    def _show(self, run: Run, status: BackupStatus, stored: set[str]) -> None:
        self._before_write()
        if self.records.get(self._name(run)) is not run:
            raise Conflict(f"{run.name} changed")
        # Through the wire form, as the API server keeps it: whole seconds.
        status = BackupStatus.model_validate(status.dump())
        self.records[self._name(run)] = replace(run, status=status)
        stored.add(run.uid)
        self.wrote += 1

    def _remove(self, run: Run, plan: Planned) -> None:
        self._before_write()
        name = self._name(run)
        known = self.records.get(name)
        written = {other.uid for other, _ in plan.shown}
        if known is None or (known is not run and run.uid not in written):
            raise Conflict(f"{run.name} changed")
        assert name not in self.snapshots, "a record of a point that is there was removed"
        assert name not in self.taken or name in self.accepted, "a loss was forgotten"
        del self.records[name]
        self.wrote += 1

    def _sweep(self, action: Action) -> None:
        super()._sweep(action)
        if action.step is Step.DELETE_SNAPSHOT:
            self.swept.add(action.name)
            record = self.records.get(action.name)
            announced = record is None or action.name in lifecycle.announced(record.status)
            assert announced, "a sweep that was not announced"

    def check_records(self) -> None:
        """What the records say when no pass has anything left to do."""
        for name, record in self.records.items():
            (entry,) = record.status.points
            there = self.snapshots.get(name)
            if there is not None and not dig(there, "metadata", "deletionTimestamp"):
                # One that is not ready any more, or due and in use, is another matter.
                assert entry.gone in (None, PointGone.SWEPT), f"{name} is there: {entry}"
                assert record.status.phase is BackupPhase.COMPLETED
            elif name in self.taken and name not in self.accepted:
                assert entry.gone is PointGone.MISSING, f"{name} vanished: {entry}"
                assert record.status.phase is BackupPhase.GONE
        for name in self.taken - self.accepted:
            assert name in self.records, f"{name} vanished, and nothing says so"
        missing = {
            entry.ref
            for entries in losses.missing(self.records.values(), SNAPSHOT).values()
            for entry in entries
        }
        orphans = {
            dig(c, "spec", "volumeSnapshotRef", "name")
            for c in self.contents.values()
            if objects.name(c).removeprefix("content-") not in self.snapshots
        }
        assert not (self.swept - self.taken - orphans) & missing, (
            "our own sweep is reported as a loss"
        )
