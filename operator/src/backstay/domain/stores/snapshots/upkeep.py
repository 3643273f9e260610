"""The retention pass over one policy: everything that was read in, patches and sweeps out.

Invariants: each item of the result stands for itself, so one that fails never blocks another;
a pass over a world that needs nothing returns an idle plan; a content that seems to have lost its
snapshot is only waited for here, because that is to be asked by name (`reconcile.sweeps`).

The resync plans on one look at everything and the pass of a policy plans again on what it reads
itself, both with `plan`; `kubectl backstay retention` shows what `judged` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.point import PointStatus
from backstay.api.store import SNAPSHOT
from backstay.domain import labels, objects
from backstay.domain.labels import Result
from backstay.domain.objects import Obj, dig
from backstay.domain.records import losses
from backstay.domain.retention import brakes, future, missing, replaced, shrinkage
from backstay.domain.retention.claims import Stopped
from backstay.domain.retention.expiry import until
from backstay.domain.retention.findings import Finding, Findings, place_of
from backstay.domain.retention.points import Point, Verdict
from backstay.domain.stores.snapshots import vanished
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.content import Patch, carrier, content_of, difference, mirror
from backstay.domain.stores.snapshots.deletion import Action, Step, plan_sweep
from backstay.domain.stores.snapshots.judging import Seen, judged
from backstay.domain.times import parse_time

__all__ = ["Seen", "Stopped", "judged"]

POLL: Final = timedelta(seconds=2)
LONGEST_POLL: Final = timedelta(minutes=5)
"""A deletion that takes long, such as one that a restore holds up, is looked at less often."""
CONDITIONS: Final = frozenset(
    {brakes.CONDITION, shrinkage.CONDITION, replaced.CONDITION, missing.POINTS_MISSING}
)
"""The conditions that snapshots have something to say under."""
IDLE_STEPS: Final = frozenset({Step.NOTHING, Step.FROZEN})


@dataclass(frozen=True, slots=True)
class Item:
    """What to do with one snapshot and its content. The sweep's step comes alone."""

    point: Point
    """The point as it will be labelled."""
    snapshot: Patch | None = None
    content: Patch | None = None
    sweep: Action | None = None
    due: bool = False
    """A sweep follows, or goes on: another pass has to come soon."""
    until: str = ""
    """How long it is kept, for the Until column."""
    reasons: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The snapshot's."""
        return self.point.name

    @property
    def resets(self) -> bool:
        """Whether somebody made the content of a point Delete that was good and Retain before."""
        if self.content is None or not self.content.spec:
            return False
        was = objects.labels(self.content.obj).get(labels.RESULT)
        # With a note that goes, what a sweep had written is taken back: we made it Delete, maybe.
        return was == Result.GOOD.value and None not in self.content.annotations.values()

    @property
    def acts(self) -> bool:
        """Whether anything is to be written."""
        stepping = self.sweep is not None and self.sweep.step not in IDLE_STEPS
        return stepping or self.patches

    @property
    def patches(self) -> bool:
        """Whether labels, annotations or the content's policy are to be written."""
        return self.snapshot is not None or self.content is not None


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the snapshots of a policy has come to."""

    items: Sequence[Item]
    stopped: Stopped
    findings: Findings
    wait: timedelta | None
    """When to look again at what is on its way out."""


def look(seen: Seen) -> Looked:
    """Given what was read of one policy, return what to do with its snapshots, and what was found.

    Raise DataError if something that was read cannot be understood: then nothing is to be changed.
    """
    found, stopped = judged(seen)
    items = [_item(snapshot, verdict, seen) for snapshot, verdict in found]
    points = {item.point.name: (item.point, item.until) for item in items}
    points |= {objects.name(s): (point_of(s), "kept") for s in seen.unlabelled}
    noted = list(zip(seen.finished, _noted(seen, found, items), strict=True))
    alive = {
        objects.annotations(obj).get(labels.RUN)
        for obj in (*seen.snapshots, *seen.contents.values())
    }
    findings = Findings(
        _conditions(seen, stopped),
        points,
        frozenset(uid for uid in alive if uid),
        {run.uid: _changed(run.status, status) for run, status in noted},
        frozenset(losses.unsettled(noted, SNAPSHOT)),
    )
    return Looked(items, stopped, findings, _wait(seen))


def is_leaving(content: Obj) -> bool:
    """Given a content that seems to have lost its snapshot, return whether it is on its way out:
    a sweep of ours took the snapshot, and the disk is to follow. Raise DataError if it cannot be
    understood.
    """
    if dig(content, "metadata", "deletionTimestamp"):
        return False  # Its driver is removing the disk.
    return plan_sweep(None, content_of(content), ()).step is not Step.FROZEN


def poll_after(deleted: str, now: datetime) -> timedelta:
    """Given an object's deletionTimestamp and now, return when to look whether it is gone."""
    return max(POLL, min((now - parse_time(deleted)) / 4, LONGEST_POLL))


def _noted(
    seen: Seen, found: Sequence[tuple[Obj, Verdict]], items: Sequence[Item]
) -> list[BackupStatus]:
    """What the finished Backups say with the outcome of their good points."""
    sights = {objects.name(s): vanished.Sight(s) for s in seen.unlabelled}
    for (snapshot, verdict), item in zip(found, items, strict=True):
        sweeps = item.sweep is not None and item.sweep.step is not Step.FROZEN
        sights[item.point.name] = vanished.Sight(snapshot, due=verdict.sweep, sweeps=sweeps)
    accepted = losses.accepted(seen.finished, SNAPSHOT, seen.released)
    artifacts = vanished.Artifacts(seen.now, sights, seen.contents, accepted)
    return [vanished.noted(run, artifacts) for run in seen.finished]


def _changed(before: BackupStatus, after: BackupStatus) -> Sequence[PointStatus]:
    return [new for old, new in zip(before.points, after.points, strict=True) if new is not old]


def _is_running(snapshot: Obj, seen: Seen) -> bool:
    """Whether the run that made a snapshot goes on: it could not learn of a sweep."""
    return objects.annotations(snapshot).get(labels.RUN) in seen.running


def _item(snapshot: Obj, verdict: Verdict, seen: Seen) -> Item:
    point = verdict.point
    after = verdict.after
    notes: dict[str, str | None] = dict(verdict.set_annotations)
    notes |= dict.fromkeys(verdict.remove_annotations)
    if point.in_use != objects.annotations(snapshot).get(labels.IN_USE):
        notes[labels.IN_USE] = point.in_use
    changes = Patch(snapshot, difference(objects.labels(snapshot), after.labels), notes)
    bound = dig(snapshot, "status", "boundVolumeSnapshotContentName", default="")
    content = seen.contents.get(bound)
    mirrored = sweep = None
    if content and dig(content, "spec", "volumeSnapshotRef", "uid") == objects.uid(snapshot):
        mirrored = mirror(snapshot, after.labels, content, after, due=verdict.sweep) or None
    goes = verdict.sweep and seen.clock is None and not _is_running(snapshot, seen)
    # The sweep waits for the mirror: a content that loses its snapshot must be found.
    if goes and not (changes or mirrored):
        mine = content_of(content) if content else None
        sweep = plan_sweep(carrier(snapshot), mine, ())
    return Item(
        after,
        changes or None,
        mirrored,
        sweep,
        due=goes or (labels.SWEEP_RELEASED in verdict.set_annotations and seen.clock is None),
        until=until(after, seen.rules, seen.now, last=verdict.last),
        reasons=verdict.reasons,
    )


def _conditions(seen: Seen, stopped: Stopped) -> Sequence[Finding]:
    """What the policy is to say of its snapshots."""
    if seen.policy is None:
        return ()
    place = place_of(seen.policy)
    held = (
        seen.clock
        or future.report(stopped.ahead, place[0])
        or brakes.mass_mark(stopped.held, *place)
    )
    other = replaced.report(stopped.replaced, seen.policy)
    small = shrinkage.report(stopped.shrunk, seen.accepted, *place)
    lost = missing.missing_points(losses.held(seen.finished, SNAPSHOT), *place)
    return (
        Finding(brakes.CONDITION, held, brakes.NOT_HELD),
        Finding(shrinkage.CONDITION, small, shrinkage.NOT_SHRUNK),
        Finding(replaced.CONDITION, other, replaced.NOT_REPLACED),
        Finding(missing.POINTS_MISSING, lost, missing.NO_POINT_MISSING),
    )


def _wait(seen: Seen) -> timedelta | None:
    """When to look again at what is on its way out."""
    snapshots = {objects.uid(s) for s in seen.snapshots}
    lost = [
        content
        for content in seen.contents.values()
        if dig(content, "spec", "volumeSnapshotRef", "uid") not in snapshots
    ]
    waits = [
        poll_after(deleted, seen.now)
        for obj in (*seen.snapshots, *lost)
        if (deleted := dig(obj, "metadata", "deletionTimestamp"))
    ]
    if seen.clock is None and any(is_leaving(content) for content in lost):
        waits.append(POLL)
    return min(waits, default=None)
