"""The snapshots of a run from when they are taken until they are good.

Invariants:

- A point is good only by MarkGood, or by the label that an earlier MarkGood wrote.
- Points of claims that belong together are marked in one round, when all of them are ready and a
  hook froze them all over their snapshots; if one fails, all fail.
"""

from __future__ import annotations

from datetime import datetime

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus
from backstay.api.store import SNAPSHOT
from backstay.domain.run.status import colon, pending, plan_of, with_point
from backstay.domain.run.values import Action, Decision, Seen, pause
from backstay.domain.stores.snapshots.actions import MarkGood
from backstay.domain.stores.snapshots.entries import (
    disk,
    failed,
    known_taken,
    labels_for,
    mine,
    waited,
    waits_for,
)
from backstay.domain.stores.snapshots.groups import members, with_groups_judged
from backstay.domain.stores.snapshots.sights import PointSeen, sight_of


def finish(seen: Seen) -> Decision:
    """Given a run whose snapshots are taken, return it with each point a step further."""
    status, marks = with_groups_judged(seen.status), list[str]()
    sight = sight_of(seen)
    for entry in pending(status, SNAPSHOT):
        point = sight.points.get(entry.source, PointSeen())
        status = with_point(status, _finished(seen, entry, point))
        if point.result is not PointResult.GOOD:
            marks.append(entry.source)
    # What belongs together is marked when all of it is ready: one that fails takes all along.
    for group in plan_of(status).together:
        together = members(status, group)
        if any(p.result is not PointResult.GOOD for p in together):
            for p in together:
                if p.source in marks and p.result is PointResult.GOOD:
                    status = with_point(status, changed(p, result=PointResult.PENDING))
    status = with_groups_judged(status)
    good = {p.source for p in mine(status) if p.result is PointResult.GOOD}
    marked = [claim for claim in marks if claim in good]
    # A verdict labels the content as well.
    others = (a for a in labels_for(seen) if a.claim not in marked)
    actions: tuple[Action, ...] = (*map(MarkGood, marked), *others)
    waiting = pending(status, SNAPSHOT)
    moments = [known_taken(p) or seen.now for p in waiting]
    return Decision(status, actions, pause(seen.now - min(moments, default=seen.now)))


def ready_deadlines(status: BackupStatus) -> tuple[datetime, ...]:
    """Given a run whose snapshots are taken, return when each one that is not ready is given up."""
    timeout = plan_of(status).ready_timeout
    moments = map(known_taken, pending(status, SNAPSHOT))
    return tuple(moment + timeout for moment in moments if moment is not None)


def _finished(seen: Seen, entry: PointStatus, point: PointSeen) -> PointStatus:
    """One point a step further: good if it is ready."""
    timeout = plan_of(seen.status).ready_timeout
    if why := point.lost():
        return failed(entry, why)
    if point.result is PointResult.GOOD or point.ready:
        return _good(entry, point)
    so_long = waited(seen, entry)
    if so_long > timeout:
        why = colon(point.error or point.silence)
        return failed(entry, f"not ready within readyTimeout ({timeout}){why}")
    return changed(entry, message=waits_for(point, so_long))


def _good(entry: PointStatus, point: PointSeen) -> PointStatus:
    return changed(
        entry,
        result=PointResult.GOOD,
        bytes=point.restore_size,
        snapshot=disk(entry, point),
        message=None,
    )
