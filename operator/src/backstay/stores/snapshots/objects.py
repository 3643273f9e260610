"""Take a snapshot, look at it, and write the verdict onto it and its content.

Invariants: a snapshot is made with POST and a deterministic name; its content is labelled and
Retain from the snapshot on, so that what is left is found; result=good is written in one tested
patch together with the tiers, and only after its content was read back as Retain.
"""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.point import PointResult
from backstay.builders.snapshot import metadata_patch
from backstay.domain import labels, objects
from backstay.domain.calendar import TIER_LABELS
from backstay.domain.errors import AlreadyExists, Conflict, Transient
from backstay.domain.objects import Obj, dig
from backstay.domain.silence import error_of, silence_of
from backstay.domain.stores.snapshots.content import MIRRORED_NOTES
from backstay.domain.stores.snapshots.sights import Pair, PointSeen
from backstay.domain.times import parse_time
from backstay.kube.client import Client
from backstay.kube.quantities import parse_quantity
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT


async def read_pair(client: Client, namespace: str, name: str) -> Pair:
    """Given a snapshot's address, return it and the content that it is bound to."""
    snapshot = await client.find(VOLUME_SNAPSHOT, name, namespace)
    bound = dig(snapshot, "status", "boundVolumeSnapshotContentName")
    content = await client.find(VOLUME_SNAPSHOT_CONTENT, bound) if bound else None
    # One that is bound to another snapshot of this name says nothing of this one.
    if content is not None and dig(content, "spec", "volumeSnapshotRef", "uid") != objects.uid(
        snapshot or {}
    ):
        content = None
    return Pair(snapshot, content)


def seen(pair: Pair, *, run: str) -> PointSeen:
    """Given a pair and the uid of the run that should have made it, return what it says."""
    snapshot, content = pair.snapshot, pair.content
    # One that goes is as good as gone: no verdict may rest on it.
    if snapshot is None or dig(snapshot, "metadata", "deletionTimestamp"):
        return PointSeen()
    written = objects.labels(snapshot).get(labels.RESULT)
    created = dig(snapshot, "status", "creationTime")
    handle = dig(content, "status", "snapshotHandle")
    size = dig(snapshot, "status", "restoreSize")
    return PointSeen(
        exists=True,
        ours=objects.annotations(snapshot).get(labels.RUN) == run,
        result=PointResult(written) if written in set(PointResult) else None,
        # A driver has a handle once it has taken it; some never report a time.
        taken=bool(handle),
        taken_at=parse_time(created) if created else None,
        # Ready without a content is no point: there is nothing to restore from.
        ready=bool(dig(snapshot, "status", "readyToUse", default=False)) and content is not None,
        content=objects.name(content or {}),
        bare=is_bare(pair),
        restore_size=parse_quantity(size) if size else None,
        error=error_of(snapshot, content),
        silence=silence_of(snapshot, content),
    )


async def create(client: Client, body: Obj) -> None:
    """Given a VolumeSnapshot, create it. One of that name is looked at and judged later."""
    try:
        await client.create(VOLUME_SNAPSHOT, body)
    except AlreadyExists:
        return


def is_taken(pair: Pair) -> bool:
    """Given a pair, return whether there is a disk snapshot behind its content."""
    return bool(dig(pair.content, "status", "snapshotHandle"))


def is_bare(pair: Pair) -> bool:
    """Given a pair, return whether there is a disk snapshot that nobody would find without the
    snapshot, or that could go with it.
    """
    snapshot, content = pair.snapshot, pair.content
    if snapshot is None or content is None or not is_taken(pair):
        return False
    known = mirror_annotations(snapshot).items() <= objects.annotations(content).items()
    labelled = labels.POLICY in objects.labels(content) and known
    return not labelled or dig(content, "spec", "deletionPolicy") != "Retain"


async def label_content(client: Client, pair: Pair, result: labels.Result) -> None:
    """Given a pair and its outcome so far, make its content Retain, and labelled as the
    snapshot is, in one tested patch.

    Raise Conflict if the content changed meanwhile, or went away.
    """
    snapshot, content = pair.snapshot, pair.content
    if snapshot is None or content is None:
        raise Conflict("the snapshot or its content went away")
    # In one patch: a content with labels that is not Retain yet could go with its namespace.
    await client.patch(
        VOLUME_SNAPSHOT_CONTENT,
        objects.name(content),
        None,
        metadata_patch(
            content,
            labels=mirror_labels(snapshot) | {labels.RESULT: result.value},
            annotations=mirror_annotations(snapshot),
            spec={"deletionPolicy": "Retain"},
        ),
    )


async def mark_good(
    client: Client,
    pair: Pair,
    *,
    tiers: Mapping[str, str],
    verdict: Mapping[str, str],
) -> None:
    """Given a ready pair, the labels and the annotations of its verdict, make the content Retain
    and labelled, then the snapshot good.

    Raise Conflict if either changed meanwhile, Transient if the content does not say Retain when
    it is read back.
    """
    snapshot, content = pair.snapshot, pair.content
    if snapshot is None or content is None:
        raise Conflict("the snapshot or its content went away")
    good = {**tiers, labels.RESULT: labels.Result.GOOD.value}
    # The content first: a snapshot that says good has one that is Retain. With the tiers, so that
    # the pass after the run finds nothing to mirror.
    kept = await client.patch(
        VOLUME_SNAPSHOT_CONTENT,
        objects.name(content),
        None,
        metadata_patch(
            content,
            labels=mirror_labels(snapshot) | good,
            annotations={**mirror_annotations(snapshot), **verdict},
            spec={"deletionPolicy": "Retain"},
        ),
    )
    if dig(kept, "spec", "deletionPolicy") != "Retain":
        # No lost race: reported, as it goes on until whatever changes it back is stopped.
        raise Transient(f"content {objects.name(content)} does not stay Retain")
    await client.patch(
        VOLUME_SNAPSHOT,
        objects.name(snapshot),
        objects.namespace(snapshot),
        metadata_patch(snapshot, labels=good, annotations=verdict),
    )


async def mark_failed(client: Client, snapshot: Obj) -> None:
    """Given a snapshot as read, label it failed if it is still pending."""
    # A verdict is never taken back: one that is good by now stays good.
    if objects.labels(snapshot).get(labels.RESULT) != labels.Result.PENDING.value:
        return
    await client.patch(
        VOLUME_SNAPSHOT,
        objects.name(snapshot),
        objects.namespace(snapshot),
        metadata_patch(snapshot, labels={labels.RESULT: labels.Result.FAILED.value}),
    )


def mirror_labels(snapshot: Obj) -> dict[str, str]:
    """Given a snapshot, return its labels of ours that its content carries from the snapshot on;
    tiers come with the verdict.
    """
    return {
        key: value
        for key, value in objects.labels(snapshot).items()
        if key.startswith(labels.PREFIX) and key not in TIER_LABELS.values()
    }


def mirror_annotations(snapshot: Obj) -> dict[str, str]:
    """Given a snapshot, return its annotations that identify it, for its content."""
    found = objects.annotations(snapshot)
    return {key: found[key] for key in MIRRORED_NOTES if key in found}
