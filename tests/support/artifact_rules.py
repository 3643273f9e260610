"""What must never be done to artifacts, asked at each delete, and what holds when all is settled.

By the definitions alone, and not by the code that is tested.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.artifacts import Artifacts
from tests.support.planned import planned

from backstay.domain import labels, objects
from backstay.domain.calendar import Tier, period_of
from backstay.domain.clock_skew import CLOCK_SLACK, clock_brake
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.points import Point, Rules
from backstay.domain.stores.snapshots.carriers import point_of

GRACE = timedelta(hours=24)
SLACK = 2 * CLOCK_SLACK
"""Two clocks that agree well enough may be so far apart between a mark and its sweep."""


class Guarded(Artifacts):
    """Artifacts whose deletion is watched: see the module."""

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
