"""A world in memory for the upkeep of one series: snapshots, contents, disks, two clocks, a person.

It answers as the API server does (resourceVersions, deletionTimestamps) and as the snapshot
controller and a driver do. `run_pass` writes what upkeep.plan wants as the retention reconciler
does, one write after another; the process may die before any, and a person may edit in between.
At each write the world itself checks what must never be done: see `_check_delete`, `_lose_disk`.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests.support import builders
from tests.support.planned import planned

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.calendar import Tier, period_of
from backstay.domain.clock_skew import CLOCK_SLACK, clock_brake
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj, dig
from backstay.domain.retention import brakes
from backstay.domain.retention.judge import tiers_for_new
from backstay.domain.retention.points import Point, Rules
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.content import Patch, content_of
from backstay.domain.stores.snapshots.deletion import Action, Carrier, Step, plan_sweep
from backstay.domain.stores.snapshots.moments import moment_taken
from backstay.domain.times import parse_time

START = datetime(2026, 3, 27, 11, 0, tzinfo=UTC)
GRACE = timedelta(hours=24)
SLACK = 2 * CLOCK_SLACK
"""Two clocks that agree well enough may be so far apart between a mark and its sweep."""


class Killed(Exception):  # noqa: N818 - it is what happened
    """The process died before a write."""


@dataclass
class World:
    """See the module."""

    rules: Rules | None
    true: datetime = START
    """The API server's clock and the driver's."""
    ahead: timedelta = timedelta(0)
    """How far the operator's clock is ahead of it."""
    snapshots: dict[str, Obj] = field(default_factory=dict)
    contents: dict[str, Obj] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    released: frozenset[str] = frozenset()
    marked: dict[str, datetime] = field(default_factory=dict)
    """When (true time) each point got the date that it has, if from retention."""
    mine: dict[str, dict[str, str]] = field(default_factory=dict)
    """Labels that a person set and that nobody else may touch, by snapshot."""
    lost_disks: list[str] = field(default_factory=list)
    by_hand: set[str] = field(default_factory=set)
    """Snapshots that a person deleted."""
    exposed: set[str] = field(default_factory=set)
    """Snapshots whose content a person made Delete."""
    driver: Callable[[datetime], datetime | None] = lambda moment: moment
    """What the driver says of the moment of a snapshot, given the true one."""
    became: dict[str, datetime] = field(default_factory=dict)
    """When (true time) each point became what it is."""
    claim: str = "uid-claim"
    """The uid of the claim of now."""
    hold: brakes.Brake | None = None
    """Why the clock is not to be believed although it agrees with the API server's."""
    ours: set[str] = field(default_factory=set)
    """Snapshots that our own DELETE took."""
    unproven: set[str] = field(default_factory=set)
    """Those of them of which no proof was written yet, or was taken back: their contents stay."""

    def __post_init__(self) -> None:
        self._versions = itertools.count(2)
        self._names = itertools.count(1)
        self._budget: int | None = None
        self._meddle: tuple[int, Callable[[], None]] | None = None
        self.wrote = 0

    @property
    def now(self) -> datetime:
        """What the operator's clock says."""
        return self.true + self.ahead

    def points(self) -> list[Point]:
        return [
            replace(p, ready=p.ready and f"content-{p.name}" in self.contents)
            for p in map(point_of, self.snapshots.values())
        ]

    def newest_good(self) -> str | None:
        good = [
            (dig(s, "metadata", "creationTimestamp"), name)
            for name, s in self.snapshots.items()
            if objects.labels(s).get(labels.RESULT) == "good"
            and dig(s, "status", "readyToUse")
            and f"content-{name}" in self.contents
            and not dig(s, "metadata", "deletionTimestamp")
        ]
        return max(good)[1] if good else None

    # ---- runs -----------------------------------------------------------------------------

    def start_run(self, *, days: int | None = None) -> str:
        """A run takes a snapshot that is not ready yet; return its name."""
        name = f"p{next(self._names):03d}"
        extra = {"retain": "days", "retain-days": str(days)} if days is not None else {}
        made = builders.snapshot(
            name,
            format_time(self.true),
            result="pending",
            extra=extra,
            notes={"record": json.dumps({"claim": {"uid": self.claim}})},
            ready=False,
        )
        reported = self.driver(self.true)
        made["status"]["creationTime"] = format_time(reported) if reported is not None else None
        self.became[name] = self.true
        self.snapshots[name] = made
        content = builders.content(made)
        self.contents[objects.name(content)] = content
        self.running.add(f"run-{name}")
        return name

    def end_run(self, name: str, *, good: bool, ready: bool) -> None:
        """The run that took this snapshot ends, if both are still there."""
        snapshot = self.snapshots.get(name)
        if f"run-{name}" not in self.running or snapshot is None:
            return
        snapshot["status"]["readyToUse"] = ready
        values = {labels.RESULT: "good" if good else "failed"}
        if good:
            content = self.contents[f"content-{name}"]
            content["spec"]["deletionPolicy"] = "Retain"
            self._touch(content)
            snapshot["metadata"]["annotations"] |= self._verdict(snapshot)
            self.became[name] = self.true
            point = point_of(snapshot)
            others = [p for p in self.points() if p.uid != point.uid]
            values |= tiers_for_new(others, point, self.rules, self.now)
        snapshot["metadata"]["labels"] |= values
        self._touch(snapshot)
        self.running.discard(f"run-{name}")

    def _verdict(self, snapshot: Obj) -> dict[str, str]:
        """The annotations that a run writes with result=good."""
        made = parse_time(dig(snapshot, "metadata", "creationTimestamp"))
        reported = dig(snapshot, "status", "creationTime")
        taken = moment_taken(
            parse_time(reported) if reported else None, requested=made, now=self.true
        )
        return {
            labels.TAKEN_AT: format_time(max(taken, made)),
            labels.GOOD_SINCE: format_time(self.true),
            labels.MADE_FOR: objects.uid(snapshot),
        }

    def lose_run(self, name: str) -> None:
        """The run's record is gone before it ended."""
        self.running.discard(f"run-{name}")

    # ---- people ---------------------------------------------------------------------------

    def label(self, name: str, **changes: str | None) -> None:
        """A person sets labels by their short names, or removes them."""
        snapshot = self.snapshots[name]
        written = snapshot["metadata"]["labels"]
        for short, value in changes.items():
            key = short if short == "team" else labels.PREFIX + short.replace("_", "-")
            if key == labels.DELETE_AFTER:
                self.marked.pop(name, None)
            if value is None:
                written.pop(key, None)
                self.mine.get(name, {}).pop(key, None)
            else:
                written[key] = value
                if key in ("team", labels.HOLD):
                    self.mine.setdefault(name, {})[key] = value
        self._touch(snapshot)

    def use(self, name: str, request: str) -> None:
        """A restore claims a point."""
        self.requests.add(request)
        self.snapshots[name]["metadata"]["annotations"][labels.IN_USE] = request
        self._touch(self.snapshots[name])

    def expose(self, name: str) -> None:
        """A person makes the content of a snapshot Delete: the next pass makes it Retain again."""
        self.exposed.add(name)
        content = self.contents[f"content-{name}"]
        content["spec"]["deletionPolicy"] = "Delete"
        self._touch(content)

    def delete_by_hand(self, name: str) -> None:
        """A person deletes a snapshot with kubectl."""
        self.by_hand.add(name)
        self.snapshots[name]["metadata"]["deletionTimestamp"] = format_time(self.true)
        self._touch(self.snapshots[name])

    # ---- a pass ---------------------------------------------------------------------------

    def look(self) -> upkeep.Seen:
        snapshots, contents = copy.deepcopy((list(self.snapshots.values()), self.contents))
        return upkeep.Seen(
            now=self.now,
            rules=self.rules,
            snapshots=snapshots,
            contents=contents,
            running=frozenset(self.running),
            requests=frozenset(self.requests),
            released=self.released,
            clock=clock_brake(self.ahead) or self.hold,
        )

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

    def _before_write(self) -> None:
        if self._meddle is not None and self._meddle[0] == self.wrote:
            self._meddle[1]()
            self._meddle = None
        if self._budget == self.wrote:
            raise Killed

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
                    _merge(content, "labels", {labels.SWEPT: action.proof})
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
        _merge(obj, "labels", patch.labels)
        _merge(obj, "annotations", patch.annotations)
        obj["spec"] |= patch.spec
        if patch.spec:
            self.exposed.discard(objects.name(obj).removeprefix("content-"))
        if store is self.contents and labels.SWEPT in patch.labels:
            self.unproven.add(objects.name(obj).removeprefix("content-"))
        self._touch(obj)
        self.wrote += 1

    def _found(self, store: dict[str, Obj], name: str, version: str) -> Obj:
        self._before_write()
        if name not in store or objects.version(store[name]) != version:
            raise Conflict(f"{name} changed")
        return store[name]

    def _touch(self, obj: Obj) -> None:
        obj["metadata"]["resourceVersion"] = str(next(self._versions))

    # ---- controllers, and what must never be -----------------------------------------------

    def control(self) -> None:
        """The snapshot controller and the driver finish what is being deleted."""
        for name, snapshot in list(self.snapshots.items()):
            content = self.contents.get(f"content-{name}")
            if dig(snapshot, "metadata", "deletionTimestamp"):
                if content and dig(content, "spec", "deletionPolicy") == "Delete":
                    self._lose_disk(objects.name(content))
                del self.snapshots[name]
        for name, content in list(self.contents.items()):
            if dig(content, "metadata", "deletionTimestamp"):
                self._lose_disk(name)

    def _lose_disk(self, name: str) -> None:
        content = self.contents.pop(name)
        if dig(content, "spec", "deletionPolicy") != "Delete":
            return
        point = name.removeprefix("content-")
        assert name not in self.lost_disks, "deleted twice"
        if point in self.by_hand and point in self.snapshots:
            # A person deleted it, and it was not Retain.
            good = objects.labels(self.snapshots[point])[labels.RESULT] == "good"
            assert not good or point in self.exposed
        else:
            date = objects.labels(content)[labels.DELETE_AFTER]
            assert objects.labels(content).get(labels.SWEPT) == f"uid-{point}.{date}"
            assert point not in self.snapshots, "its snapshot is still there"
        self.lost_disks.append(name)

    def _check_delete(self, name: str) -> None:
        """A point may be deleted by us only if all of this holds."""
        snapshot = self.snapshots[name]
        point, zone = point_of(snapshot), self.rules.zone if self.rules else UTC
        assert name != self.newest_good(), "the newest good point was deleted"
        assert objects.labels(snapshot).get(labels.HOLD, "false") == "false"
        assert not set((point.in_use or "").split(",")) & self.requests
        date = datetime.strptime(objects.labels(snapshot)[labels.DELETE_AFTER], "%Y-%m-%d").date()  # noqa: DTZ007
        assert date < self.now.astimezone(zone).date()
        assert clock_brake(self.ahead) is None
        assert self.true - self.became[name] > GRACE - SLACK, "within a day of its birth"
        if name in self.marked:
            assert self.true - self.marked[name] > GRACE - SLACK, "within its grace"
            assert self.rules is not None, "a mark of ours was followed without a policy"
            assert not self._is_missed(point, self.rules), "a rule keeps it"

    def _is_missed(self, point: Point, rules: Rules) -> bool:
        """Whether a rule would have one point less without this one: by the definition alone."""
        others = [p for p in self.points() if p.uid != point.uid and not self._goes(p, rules)]
        if point.result is labels.Result.FAILED:
            newer = [p for p in others if self._has_failed(p) and p.order > point.order]
            return rules.keeps_all or len(newer) < rules.failed
        if not point.counts:
            return False
        good = [p for p in others if p.counts]
        newer = [p for p in good if p.order > point.order]
        if len(newer) < rules.last or self.now - point.taken < rules.within:
            return True
        for tier in Tier:
            own, count = period_of(tier, point.taken, rules.zone), rules.count(tier)
            periods = {period_of(tier, p.taken, rules.zone) for p in good}
            if own not in periods and (count is None or sum(1 for p in periods if p > own) < count):
                return True
        return False

    def _has_failed(self, point: Point) -> bool:
        """A pending one whose run is gone has, whether its label says so yet or not."""
        lost = point.result is labels.Result.PENDING and f"run-{point.name}" not in self.running
        return lost or point.result is labels.Result.FAILED

    def _goes(self, point: Point, rules: Rules) -> bool:
        """Whether a point is going, or does so as soon as it may, because of a person's date."""
        if point.deleting:
            return True
        date, today = point.delete_after, self.now.astimezone(rules.zone).date()
        if point.is_held or point.is_marked_by_retention or date is None or date >= today:
            return False
        if point.marked_at is not None:
            return point.marked is not None and self.now - point.marked > GRACE
        good = [p.order for p in self.points() if p.name == self.newest_good()]
        return bool(good) and point.order < good[0]

    def check(self) -> None:
        """What holds at every moment."""
        for name, set_ in self.mine.items():
            if name in self.snapshots:
                found = objects.labels(self.snapshots[name])
                assert set_.items() <= found.items(), f"{name} lost a label of a person"

    def check_settled(self) -> None:
        """What holds when no pass has anything left to do."""
        seen = self.look()
        forward = {i.point.name: i for i in planned(seen).items}
        back = planned(replace(seen, snapshots=list(reversed(seen.snapshots)))).items
        assert forward == {i.point.name: i for i in back}, "the order of the input matters"
        for name, snapshot in self.snapshots.items():
            item, content = forward[name], self.contents.get(f"content-{name}")
            assert item.snapshot is None, name
            assert item.content is None, name
            if content is not None:
                self._check_mirror(snapshot, content)
        # A disk that was due stays only where the process died between the DELETE and its proof.
        left = {name.removeprefix("content-") for name in self.contents} - self.snapshots.keys()
        if seen.clock is None:
            assert left <= self.by_hand | self.unproven, f"left behind: {left}"

    def _check_mirror(self, snapshot: Obj, content: Obj) -> None:
        def ours(values: dict[str, Any]) -> dict[str, Any]:
            return {k: v for k, v in values.items() if k.startswith(labels.PREFIX)}

        assert ours(objects.labels(content)) == ours(objects.labels(snapshot))
        theirs = objects.annotations(content)
        for key in (labels.RUN, labels.RECORD, labels.MARKED_AT):
            assert theirs.get(key) == objects.annotations(snapshot).get(key)
        if objects.labels(snapshot)[labels.RESULT] == "good":
            assert dig(content, "spec", "deletionPolicy") == "Retain"


def _merge(obj: Obj, part: str, changes: Any) -> None:
    merged = {**obj["metadata"].get(part, {}), **changes}
    obj["metadata"][part] = {k: v for k, v in merged.items() if v is not None}
