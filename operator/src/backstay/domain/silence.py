"""Why something is waited for, in words: what drivers and controllers say, and which of them says
nothing.

Pure readings of objects as read. An error is reported at once and as it was written; a silence only
after QUIET, because each of these parts takes some seconds when all is well.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from backstay.domain import objects
from backstay.domain.objects import Obj, dig

QUIET: Final = timedelta(seconds=20)
AFTER: Final = f"after {QUIET.seconds} s"
CONTROLLER: Final = "is the snapshot controller running?"


def error_of(snapshot: Obj | None, content: Obj | None) -> str:
    """Given a snapshot and its content, return what the driver says is wrong, "" if nothing.

    The content's word comes first: the sidecar writes it there, and a controller copies it later.
    """
    for obj in (content, snapshot):
        if said := dig(obj, "status", "error", "message"):
            return str(said)
    return ""


def silence_of(snapshot: Obj, content: Obj | None) -> str:
    """Given a snapshot that is not ready, and its content, return who has to say something next,
    in words that are true after QUIET.
    """
    name, bound = objects.name(snapshot), dig(snapshot, "status", "boundVolumeSnapshotContentName")
    if not snapshot.get("status"):
        return f"VolumeSnapshot {name} has no status {AFTER}: {CONTROLLER}"
    if not bound:
        return f"VolumeSnapshot {name} is bound to no content {AFTER}: {CONTROLLER}"
    if content is None:
        return (
            f"VolumeSnapshotContent {bound}, which VolumeSnapshot {name} is bound to, is missing "
            "or is of another snapshot"
        )
    driver = dig(content, "spec", "driver", default="")
    if not dig(content, "status", "snapshotHandle"):
        return (
            f"VolumeSnapshotContent {bound} has no handle {AFTER}: the csi-snapshotter sidecar of "
            f"driver {driver} has not answered; is it running?"
        )
    if not dig(snapshot, "status", "creationTime"):
        return f"VolumeSnapshot {name} has no creationTime {AFTER}: {CONTROLLER}"
    if dig(content, "status", "readyToUse") and not dig(snapshot, "status", "readyToUse"):
        return f"content {bound} is ready, VolumeSnapshot {name} is not {AFTER}: {CONTROLLER}"
    return f"VolumeSnapshot {name} is taken; driver {driver} has not made it ready to use yet"


def warning_of(events: Iterable[Obj]) -> str:
    """Given the Events of one object, return the newest warning among them, "" if there is none."""
    warnings = [e for e in events if e.get("type") == "Warning"]
    if not warnings:
        return ""
    newest = max(warnings, key=_moment)
    words = f"{newest.get('reason', '')}: {newest.get('message', '')}".strip(": ")
    return " ".join(words.split())


def unbound(claim: Obj, reader: str = "its verify pod") -> str:
    """Given a claim that is not bound and of which no Event warns, and what is to read it, return
    that in words.
    """
    of = dig(claim, "spec", "storageClassName")
    whose = f"of StorageClass {of} " if of else ""
    return (
        f"it is not bound {AFTER}, and no Event says why: is the provisioner {whose}running, and "
        f"is there a node for {reader}?"
    )


def unstarted(pod: Obj) -> str:
    """Given a Pod that says nothing itself and has not started, return who has to act next."""
    name, node = objects.name(pod), dig(pod, "spec", "nodeName")
    if node:
        return f"Pod {name} has not started on node {node}: see its Events"
    return f"Pod {name} has no node yet: is the scheduler running?"


def _moment(event: Obj) -> str:
    """When it was last seen; all of these are UTC and sort as text to the second."""
    reported = (
        dig(event, "series", "lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        dig(event, "metadata", "creationTimestamp"),
    )
    return next((str(t) for t in reported if t), "")
