"""Claim a snapshot for a restore, so that no sweep takes it meanwhile.

The annotation in-use lists the uids of the requests that use the snapshot. It is written with a
tested patch, so a sweep that read the snapshot before loses its precondition.
"""

from __future__ import annotations

from backstay.builders.snapshot import metadata_patch
from backstay.domain import labels, objects
from backstay.domain.errors import Conflict
from backstay.domain.objects import Obj
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT


def users(snapshot: Obj) -> tuple[str, ...]:
    """Given a snapshot, return the uids of the requests that use it."""
    text = objects.annotations(snapshot).get(labels.IN_USE, "")
    return tuple(part for part in text.split(",") if part)


async def hold(client: Client, namespace: str, name: str, *, snapshot_uid: str, user: str) -> None:
    """Given a snapshot and a request's uid, write it down as a user.

    Raise Conflict if the snapshot is not the same any more, or goes away.
    """
    snapshot = await client.find(VOLUME_SNAPSHOT, name, namespace)
    if (
        snapshot is None
        or objects.uid(snapshot) != snapshot_uid
        or objects.dig(snapshot, "metadata", "deletionTimestamp")
    ):
        raise Conflict(f"VolumeSnapshot {namespace}/{name} went away before it could be held")
    await _write(client, snapshot, sorted({*users(snapshot), user}))


async def release(client: Client, namespace: str, name: str, *, user: str) -> None:
    """Given a snapshot and a request's uid, remove it; a snapshot that is gone needs none."""
    snapshot = await client.find(VOLUME_SNAPSHOT, name, namespace)
    if snapshot is not None:
        await _write(client, snapshot, [u for u in users(snapshot) if u != user])


async def _write(client: Client, snapshot: Obj, wanted: list[str]) -> None:
    if wanted == list(users(snapshot)):
        return
    patch = metadata_patch(snapshot, annotations={labels.IN_USE: ",".join(wanted) or None})
    await client.patch(VOLUME_SNAPSHOT, objects.name(snapshot), objects.namespace(snapshot), patch)
