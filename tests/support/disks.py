"""What the snapshot controller and a driver's sidecar do when objects are deleted, on one server.

As the real ones: a VolumeSnapshot that is deleted takes its content along if that says Delete;
a content that is deleted takes its disk if it says Delete; then the finalizer goes. Nothing else
is done. Every disk and every snapshot that goes is noted, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
from tests.support.fault_proxy import Hold

from backstay.domain import objects
from backstay.domain.errors import Conflict, NotFound
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.login import Login
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Resource

SNAPSHOT_FINALIZER = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
CONTENT_FINALIZER = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"

MARKS: Final = {
    VOLUME_SNAPSHOT: {"source": {"persistentVolumeClaimName": "none"}},
    VOLUME_SNAPSHOT_CONTENT: {
        "driver": "csi.example",
        "deletionPolicy": "Retain",
        "source": {"snapshotHandle": "none"},
        "volumeSnapshotRef": {"namespace": "default", "name": "none"},
    },
}
"""What is made only to see how far the watches have come."""


class Disks:
    """The disk snapshots of a driver, deleted as their objects are. `async with`."""

    def __init__(self, client: Client, login: Login) -> None:
        self._client = client
        self._login = login
        self._tasks: list[asyncio.Task[None]] = []
        self._marks: dict[str, asyncio.Event] = {}
        self.deleted: dict[str, list[str]] = {}
        """By namespace: the handles of the disks that were deleted, each time again."""
        self.lost: dict[str, list[str]] = {}
        """By namespace: the names of the snapshots that are gone."""
        self._holds: dict[str, Hold] = {}

    async def __aenter__(self) -> Disks:
        for resource in (VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT):
            version = await self._version(resource)
            self._tasks.append(asyncio.create_task(self._follow(resource, version)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    def hold(self, handle: str) -> Hold:
        """Given the handle of a disk, have the driver wait before it deletes that one."""
        found = self._holds[handle] = Hold(asyncio.Event(), asyncio.Event())
        return found

    async def settled(self) -> None:
        """Wait until all that was done before has been followed: a mark is made and seen to go."""
        name = f"mark-{secrets.token_hex(4)}"
        for resource, spec in MARKS.items():
            namespace = "default" if resource.namespaced else None
            meta = {"name": name, **({"namespace": namespace} if namespace else {})}
            seen = self._marks[name] = asyncio.Event()
            made = await self._client.create(resource, {"metadata": meta, "spec": spec})
            await self._client.delete(resource, name, namespace, uid=objects.uid(made))
            waiter = asyncio.create_task(seen.wait())
            await asyncio.wait([waiter, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            if not waiter.done():
                waiter.cancel()
                raise AssertionError("the watch has ended")

    async def _version(self, resource: Resource) -> str:
        async with self._session() as session:
            url = f"{self._login.host}{resource.path()}?limit=1"
            async with session.get(url, headers=await self._login.headers()) as answer:
                return str(dig(await answer.json(), "metadata", "resourceVersion"))

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._login.tls))

    async def _follow(self, resource: Resource, version: str) -> None:
        async with contextlib.aclosing(self._watch(resource, version)) as events:
            async for kind, obj in events:
                if kind == "DELETED":
                    await self._after(resource, obj)
                elif dig(obj, "metadata", "deletionTimestamp"):
                    await self._finish(resource, obj)

    async def _watch(self, resource: Resource, version: str) -> AsyncGenerator[tuple[str, Obj]]:
        headers = await self._login.headers()
        query = f"watch=true&resourceVersion={version}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            self._session() as session,
            session.get(
                f"{self._login.host}{resource.path()}?{query}", headers=headers, timeout=timeout
            ) as answer,
        ):
            answer.raise_for_status()
            buffer = b""
            try:
                async for chunk in answer.content.iter_any():
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        yield str(event["type"]), event["object"]
            finally:
                await session.close()  # aborts, where the response would say goodbye for long

    async def _finish(self, resource: Resource, obj: Obj) -> None:
        finalizers = dig(obj, "metadata", "finalizers", default=[])
        if resource is VOLUME_SNAPSHOT:
            if SNAPSHOT_FINALIZER in finalizers and not await self._takes_content(obj):
                await self._release(resource, obj)
        elif CONTENT_FINALIZER in finalizers:
            namespace = str(dig(obj, "spec", "volumeSnapshotRef", "namespace"))
            goes = dig(obj, "spec", "deletionPolicy") == "Delete"
            handle = str(dig(obj, "spec", "source", "snapshotHandle"))
            if (hold := self._holds.pop(handle, None)) is not None:
                hold.reached.set()
                await hold.go_on.wait()
            if await self._release(resource, obj) and goes:
                self.deleted.setdefault(namespace, []).append(handle)

    async def _takes_content(self, snapshot: Obj) -> bool:
        """Delete the content of a snapshot that goes if it says so; return whether it is there."""
        name = dig(snapshot, "status", "boundVolumeSnapshotContentName")
        content = await self._client.find(VOLUME_SNAPSHOT_CONTENT, name) if name else None
        if (
            content is None
            or dig(content, "spec", "deletionPolicy") != "Delete"
            or dig(content, "spec", "volumeSnapshotRef", "uid") != objects.uid(snapshot)
        ):
            return False
        if not dig(content, "metadata", "deletionTimestamp"):
            await self._client.delete(
                VOLUME_SNAPSHOT_CONTENT, str(name), None, uid=objects.uid(content)
            )
        return True

    async def _after(self, resource: Resource, gone: Obj) -> None:
        """Note a snapshot that is gone; one that waited for a content that is may go as well."""
        if mark := self._marks.pop(objects.name(gone), None):
            mark.set()
            return
        if resource is VOLUME_SNAPSHOT:
            self.lost.setdefault(objects.namespace(gone), []).append(objects.name(gone))
            return
        ref = dig(gone, "spec", "volumeSnapshotRef", default={})
        snapshot = await self._client.find(VOLUME_SNAPSHOT, ref["name"], ref["namespace"])
        if snapshot is not None and dig(snapshot, "metadata", "deletionTimestamp"):
            await self._finish(VOLUME_SNAPSHOT, snapshot)

    async def _release(self, resource: Resource, obj: Obj) -> bool:
        """Take the finalizer off; return whether this released it."""
        version = objects.version(obj)
        patch: Obj = {"metadata": {"resourceVersion": version, "finalizers": None}}
        try:
            await self._client.patch(
                resource, objects.name(obj), objects.namespace(obj) or None, patch
            )
        except (Conflict, NotFound):
            return False  # It has changed since: another event follows.
        return True
