"""A world in memory for the upkeep of one series: artifacts, runs, people, and passes over them.

`run_pass` writes what upkeep.plan wants as the retention reconciler does, one write after another;
the process may die before any, and a person may edit in between. The snapshot controller and a
driver finish what is being deleted (`control`). At each write the world itself checks what must
never be done: see artifact_rules.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from tests.support.artifact_events import Events
from tests.support.artifact_rules import Guarded
from tests.support.artifacts import Killed, merge
from tests.support.planned import planned

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.clock_skew import clock_brake
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.points import Point
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.content import Patch, content_of
from backstay.domain.stores.snapshots.deletion import Action, Carrier, Step, plan_sweep


class World(Events, Guarded):
    """See the module."""

    def run_pass(
        self,
        *,
        dies_before: int | None = None,
        meddle: tuple[int, Callable[[], None]] | None = None,
    ) -> int:
        """One pass; return how many writes it made. It dies before write `dies_before` (from 0);
        before write meddle[0] somebody does meddle[1].
        """
        self._budget, self._meddle, self.wrote = dies_before, meddle, 0
        seen = self.look()
        plan = planned(seen)
        try:
            for item in plan.items:
                self._attempt(partial(self._carry_out, item))
            if seen.clock is None:
                for content in filter(upkeep.is_leaving, seen.contents.values()):
                    self._attempt(partial(self._finish, content))
        except Killed:
            pass
        self._budget = self._meddle = None
        return self.wrote

    def _attempt(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(Conflict):  # the next pass reads again
            work()

    def _carry_out(self, item: upkeep.Item) -> None:
        for patch, store in ((item.snapshot, self.snapshots), (item.content, self.contents)):
            if patch is not None:
                self._patch(store, patch)
        if item.snapshot is None and item.content is None and item.sweep is not None:
            self._carry_on(item.sweep, item.point)

    def _finish(self, content: Obj) -> None:
        """As the reconciler does with a content whose snapshot may be gone."""
        ref = dig(content, "spec", "volumeSnapshotRef")
        there = self.snapshots.get(ref["name"])
        if there is None or objects.uid(there) != ref["uid"]:
            others = [content_of(c) for c in self.contents.values()]
            self._sweep(plan_sweep(None, content_of(content), others))

    def _carry_on(self, action: Action, point: Point) -> None:
        """As a pass does with a snapshot that is there: the proof follows the DELETE at once."""
        self._sweep(action)
        if action.step is not Step.DELETE_SNAPSHOT or action.content is None:
            return
        going = Carrier(point.name, point.uid, point.resource_version, deleting=True)
        mine = action.content
        while (step := plan_sweep(going, mine, ())).step not in upkeep.IDLE_STEPS:
            if mine.held or mine.proof != action.content.proof:
                return
            with contextlib.suppress(Conflict):
                self._sweep(step)
            mine = content_of(self.contents[mine.name])

    def _sweep(self, action: Action) -> None:
        match action.step:
            case Step.NOTHING | Step.FROZEN:
                return
            case Step.DELETE_SNAPSHOT:
                snapshot = self._found(self.snapshots, action.name, action.resource_version)
                self._check_delete(action.name)
                snapshot["metadata"]["deletionTimestamp"] = format_time(self.true)
                self._touch(snapshot)
                self.ours.add(action.name)
                self.unproven.add(action.name)
            case Step.DELETE_CONTENT:
                content = self._found(self.contents, action.name, action.resource_version)
                content["metadata"]["deletionTimestamp"] = format_time(self.true)
                self._touch(content)
            case _:
                content = self._found(self.contents, action.name, action.resource_version)
                if action.step is Step.WRITE_PROOF:
                    name = action.name.removeprefix("content-")
                    if name not in self.ours:
                        self._check_delete(name)
                    merge(content, "labels", {labels.SWEPT: action.proof})
                    self.unproven.discard(name)
                else:
                    delete = action.step is Step.SET_DELETE
                    content["spec"]["deletionPolicy"] = "Delete" if delete else "Retain"
                self._touch(content)
        self.wrote += 1

    def _patch(self, store: dict[str, Obj], patch: Patch) -> None:
        obj = self._found(store, objects.name(patch.obj), objects.version(patch.obj))
        if store is self.snapshots and labels.DELETE_AFTER in patch.labels:
            name = objects.name(obj)
            self.marked.pop(name, None)
            if patch.labels[labels.DELETE_AFTER] is not None:
                assert clock_brake(self.ahead) is None, "marked while the clock was off"
                assert name != self.newest_good(), "the newest good point was marked"
                self.marked[name] = self.true
        merge(obj, "labels", patch.labels)
        merge(obj, "annotations", patch.annotations)
        obj["spec"] |= patch.spec
        if patch.spec:
            self.exposed.discard(objects.name(obj).removeprefix("content-"))
        if store is self.contents and labels.SWEPT in patch.labels:
            self.unproven.add(objects.name(obj).removeprefix("content-"))
        self._touch(obj)
        self.wrote += 1
