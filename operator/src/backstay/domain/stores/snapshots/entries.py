"""Questions to the snapshots of a run, and changes of them; nothing here decides."""

from __future__ import annotations

from datetime import datetime, timedelta

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus, SnapshotStatus
from backstay.api.store import SNAPSHOT
from backstay.domain.run.status import short
from backstay.domain.run.values import Seen
from backstay.domain.silence import QUIET
from backstay.domain.stores.snapshots.actions import LabelContent
from backstay.domain.stores.snapshots.sights import PointSeen, sight_of


def mine(status: BackupStatus) -> list[PointStatus]:
    """Given a run, return its points that are snapshots."""
    return [p for p in status.points if p.store == SNAPSHOT]


def known_taken(entry: PointStatus) -> datetime | None:
    """Given a point, return when it was taken; a driver's clock may be wrong, but no snapshot
    precedes its request.
    """
    return max((t for t in (entry.taken_at, entry.requested_at) if t is not None), default=None)


def waited(seen: Seen, entry: PointStatus) -> timedelta:
    """Given a run and a point, return how long that has waited: for its snapshot, or since then to
    be ready.
    """
    return seen.now - (known_taken(entry) or seen.now)


def waits_for(point: PointSeen, so_long: timedelta) -> str | None:
    """Given a look at a point and how long it has waited, return what for: an error at once, and a
    silence when it is one.
    """
    return short(point.error or (point.silence if so_long >= QUIET else "")) or None


def disk(entry: PointStatus, point: PointSeen) -> SnapshotStatus | None:
    """Given a point and a look at it, return what is known of the content behind it."""
    name = point.content or entry.content
    return SnapshotStatus(content=name, handle=entry.handle) if name else None


def failed(entry: PointStatus, why: str) -> PointStatus:
    """Given a point and why it can never become good, return it as failed."""
    return changed(entry, result=PointResult.FAILED, message=short(why))


def labels_for(seen: Seen) -> list[LabelContent]:
    """Given what was seen of a run, return that the contents are to be labelled behind which a disk
    snapshot was seen, good or not: it is found from then on, whatever happens to the run, the
    snapshot and the namespace.
    """
    return [LabelContent(claim) for claim, p in sight_of(seen).points.items() if p.bare and p.ours]
