"""The snapshot controller and a driver's sidecar, as far as binding goes, played on one server.

As the real ones: a snapshot of a claim gets a content; one that names a content binds the one that
names it; both get ready. What the driver reports as the time of a snapshot that it only finds again
is the test's to say: a driver that cannot list reports the moment of binding, or nothing at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Final

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.errors import AlreadyExists, Conflict, NotFound
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.snapshots.carriers import record_of
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Resource

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Reported = Callable[[Obj], datetime]
"""Given a content, what the driver says of its snapshot, which it did not take now."""


def recorded(content: Obj) -> datetime:
    """What a driver that can list says: the moment of the snapshot, here that of the record."""
    record = record_of(content)
    return record.slot if record is not None else EPOCH


def now(_: Obj | None = None) -> datetime:
    """What one says that cannot: the moment of binding."""
    return SystemClock().now().replace(microsecond=0)


def nothing(_: Obj) -> datetime:
    """What an old one says that cannot."""
    return EPOCH


@contextlib.asynccontextmanager
async def playing(client: Client, reported: Reported = recorded) -> AsyncIterator[None]:
    """Given a client and what the driver says of old snapshots, bind while the block runs."""
    task = asyncio.create_task(_play(client, reported))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task  # or its request outlives the client


async def _play(client: Client, reported: Reported) -> None:
    while True:
        for snapshot in await client.list(VOLUME_SNAPSHOT):
            if dig(snapshot, "status", "readyToUse") is None:
                with contextlib.suppress(Conflict, NotFound, AlreadyExists):
                    await bind(client, snapshot, reported)
        await asyncio.sleep(0.1)


async def bind(
    client: Client, snapshot: Obj, reported: Reported = recorded, *, ready: bool = True
) -> None:
    """Given a snapshot that is bound to nothing, take it or find it, and make it ready or not."""
    wanted = dig(snapshot, "spec", "source", "volumeSnapshotContentName")
    content = await _content(client, snapshot, wanted)
    if content is None:
        return
    taken = now() if wanted is None else reported(content)
    name = dig(content, "spec", "source", "snapshotHandle") or objects.name(snapshot)
    nanoseconds = int((taken - EPOCH).total_seconds()) * 10**9
    taken_now = {"snapshotHandle": name, "creationTime": nanoseconds, "readyToUse": ready}
    await _set_status(client, VOLUME_SNAPSHOT_CONTENT, content, taken_now)
    status = {
        "boundVolumeSnapshotContentName": objects.name(content),
        "creationTime": format_time(taken),
        "readyToUse": ready,
        "restoreSize": "1Gi",
    }
    await _set_status(client, VOLUME_SNAPSHOT, snapshot, status)


async def _content(client: Client, snapshot: Obj, wanted: str | None) -> Obj | None:
    """The content that is bound to the snapshot: made for it, or found, if that is its."""
    ref = {
        "name": objects.name(snapshot),
        "namespace": objects.namespace(snapshot),
        "uid": objects.uid(snapshot),
    }
    if wanted is None:
        spec = {
            "deletionPolicy": "Delete",
            "driver": "csi.example.com",
            "source": {"volumeHandle": "disk"},
            "volumeSnapshotRef": ref,
        }
        name = f"snapcontent-{objects.uid(snapshot)}"
        return await client.create(
            VOLUME_SNAPSHOT_CONTENT, {"metadata": {"name": name}, "spec": spec}
        )
    found = await client.find(VOLUME_SNAPSHOT_CONTENT, wanted)
    if found is None:
        return None
    named = dig(found, "spec", "volumeSnapshotRef", default={})
    if {**ref, **named} != ref:
        return None
    patch = {
        "metadata": {"resourceVersion": objects.version(found)},
        "spec": {"volumeSnapshotRef": ref},
    }
    return await client.patch(VOLUME_SNAPSHOT_CONTENT, wanted, None, patch)


async def _set_status(client: Client, resource: Resource, obj: Obj, status: Obj) -> None:
    patch = {"metadata": {"resourceVersion": objects.version(obj)}, "status": status}
    await client.patch(
        resource,
        objects.name(obj),
        objects.namespace(obj) or None,
        patch,
        subresource="status",
    )
