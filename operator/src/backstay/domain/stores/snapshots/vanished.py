"""Points that vanish behind our back: which good points of the records can still be found.

A finished Backup remembers its good points, so one that is not there any more is noticed. Each is
`Swept`, `Missing` or `Accepted`, or there (None), and the status of its Backup says which.

Invariants:

- A sweep of ours is announced before it deletes anything: the status says `Swept` before the
  snapshot is deleted. So whatever is not there without that word was removed by somebody else.
- An announcement is believed as long as the artifacts do not contradict it: a content that stayed
  and has no date, or is held, says that its snapshot was not due. One that stayed and was due may
  be what a sweep left that died in between: it is an orphan (`orphans`), and no loss.
- A point that is there is there: whatever its record said before, it says nothing then.
- What is reported, and when it ends, is `records.losses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from backstay.api.backup import BackupStatus, Trigger
from backstay.api.common import changed
from backstay.api.point import HANDLE_MAX, PointGone, PointStatus, SnapshotStatus
from backstay.api.store import SNAPSHOT
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.lifecycle import Run
from backstay.domain.records.losses import is_watched


@dataclass(frozen=True, slots=True)
class Sight:
    """A snapshot that is there."""

    snapshot: Obj
    due: bool = False
    """Retention wants it gone."""
    sweeps: bool = False
    """The next write to it or its content is a step of its sweep."""


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What a pass found of the points that the records speak of."""

    now: datetime
    sights: Mapping[str, Sight]
    """By the name of the snapshot, whether it carries our labels or not."""
    contents: Mapping[str, Obj]
    """By name."""
    accepted: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    """Claim and snapshot of what a person takes for gone."""


def noted(run: Run, found: Artifacts) -> BackupStatus:
    """Given a finished Backup and what was found, return its status with the outcome of its good
    points; the status itself where it says so already.
    """
    entries = tuple(_noted(run, entry, found) for entry in run.status.points)
    if all(a is b for a, b in zip(entries, run.status.points, strict=True)):
        return run.status
    return changed(run.status, points=entries)


def _noted(run: Run, entry: PointStatus, found: Artifacts) -> PointStatus:
    if not is_watched(entry, SNAPSHOT):
        return entry
    sight = found.sights.get(entry.ref or "")
    if sight is None:
        known = entry
        gone, why = _without_snapshot(run, entry, found)
    else:
        content = found.contents.get(_bound(sight.snapshot))
        known = _known(entry, sight.snapshot, content)
        gone, why = _with_snapshot(entry, sight, content, found)
    message = entry.message
    if gone is PointGone.MISSING or (gone is None and entry.gone is not None):
        message = why or None
    if known is entry and (gone, message) == (entry.gone, entry.message):
        return entry
    at = entry.gone_at
    if gone is not entry.gone and gone is not PointGone.ACCEPTED:
        at = found.now if gone is not None else None
    return changed(known, gone=gone, gone_at=at, message=message)


def _without_snapshot(
    run: Run, entry: PointStatus, found: Artifacts
) -> tuple[PointGone | None, str]:
    """The outcome of a good point without a snapshot, and why it is missing."""
    if entry.gone is PointGone.ACCEPTED:
        return PointGone.ACCEPTED, ""
    content = found.contents.get(entry.content or "")
    if _went_as_due(run, entry, content):
        return PointGone.SWEPT, ""
    if _is_accepted(entry, found):
        return PointGone.ACCEPTED, ""
    return PointGone.MISSING, _lost(entry, content)


def _with_snapshot(
    entry: PointStatus, sight: Sight, content: Obj | None, found: Artifacts
) -> tuple[PointGone | None, str]:
    """The outcome of a good point whose snapshot is there, and why it is missing."""
    deleting = bool(dig(sight.snapshot, "metadata", "deletionTimestamp"))
    # Whoever deletes it: it was due.
    if sight.due and (sight.sweeps or deleting or entry.gone is PointGone.SWEPT):
        return PointGone.SWEPT, ""
    why = _spoiled(entry, sight.snapshot, content)
    if not why:
        return None, ""
    if entry.gone is PointGone.ACCEPTED or _is_accepted(entry, found):
        return PointGone.ACCEPTED, ""
    return PointGone.MISSING, why


def _is_accepted(entry: PointStatus, found: Artifacts) -> bool:
    return (entry.source, entry.ref or "") in found.accepted


def _went_as_due(run: Run, entry: PointStatus, content: Obj | None) -> bool:
    """Whether a snapshot that is not there went by our sweep."""
    if entry.gone is PointGone.SWEPT:
        if content is None or dig(content, "metadata", "deletionTimestamp"):
            return True
        carried = objects.labels(content)
        return labels.DELETE_AFTER in carried and carried.get(labels.HOLD, "false") == "false"
    # A record that is recreated may come too late for a point that a sweep takes meanwhile, and
    # nobody could announce that to it. A pass that has seen the point says so in `until`.
    never_seen = run.spec.trigger is Trigger.IMPORTED and entry.until is None
    return never_seen and content is None


def _known(entry: PointStatus, snapshot: Obj, content: Obj | None) -> PointStatus:
    """The entry with the content that its snapshot is bound to now, and with the handle of the disk
    snapshot where none was known.
    """
    if content is None or not _is_pair(snapshot, content):
        return entry
    name = objects.name(content)
    handle = entry.handle or _handle(content)
    if name == entry.content and handle == entry.handle:
        return entry
    return changed(entry, snapshot=SnapshotStatus(content=name, handle=handle))


def _lost(entry: PointStatus, content: Obj | None) -> str:
    """Why a point without a snapshot is missing."""
    if content is None:
        disk = f"; the driver's name of its disk snapshot is {entry.handle}" if entry.handle else ""
        return f"its VolumeSnapshot and its VolumeSnapshotContent are gone{disk}"
    name = objects.name(content)
    if dig(content, "metadata", "deletionTimestamp"):
        return f"its VolumeSnapshot is gone, and its VolumeSnapshotContent {name} is being deleted"
    return (
        f"its VolumeSnapshot is gone; its VolumeSnapshotContent {name} is left and can be rebound"
    )


def _spoiled(entry: PointStatus, snapshot: Obj, content: Obj | None) -> str:
    """Why a point cannot be restored from though its snapshot is there, "" if it can."""
    bound = _bound(snapshot)
    if dig(snapshot, "metadata", "deletionTimestamp"):
        return "its VolumeSnapshot is being deleted"
    if not bound:
        return "its VolumeSnapshot is bound to no VolumeSnapshotContent"
    if content is None:
        return f"its VolumeSnapshotContent {bound} is gone"
    if dig(content, "metadata", "deletionTimestamp"):
        return f"its VolumeSnapshotContent {bound} is being deleted"
    if not _is_pair(snapshot, content):
        return f"its VolumeSnapshotContent {bound} is of another VolumeSnapshot"
    handle = _handle(content)
    if entry.handle and handle and handle != entry.handle:
        return (
            f"its VolumeSnapshotContent {bound} is of disk snapshot {handle} now, and was of "
            f"{entry.handle}"
        )
    if not dig(snapshot, "status", "readyToUse", default=False):
        return "its VolumeSnapshot is not ready to use any more"
    return ""


def _bound(snapshot: Obj) -> str:
    return str(dig(snapshot, "status", "boundVolumeSnapshotContentName", default=""))


def _is_pair(snapshot: Obj, content: Obj) -> bool:
    """Whether a content that a snapshot is bound to is of that snapshot."""
    return bool(dig(content, "spec", "volumeSnapshotRef", "uid") == objects.uid(snapshot))


def _handle(content: Obj) -> str | None:
    """The driver's name of the disk snapshot; None where it is not known, or longer than any is."""
    found = dig(content, "status", "snapshotHandle") or dig(
        content, "spec", "source", "snapshotHandle"
    )
    return str(found) if found and len(found) <= HANDLE_MAX else None
