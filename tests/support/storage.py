"""A storage driver on a server without one: volumes and snapshots are folders.

As the real ones: a claim waits for its first consumer or not, and goes when no Pod names it any
more, whether that has ended or not. A deletion that comes while a Job can read the claim is noted.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import snapshot_player
from tests.support.schedules import DRIVER

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.kube.client import Client
from backstay.kube.resources import (
    JOB,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    STORAGE_CLASS,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
    Resource,
)

SIZE = "1Gi"


class Storage:
    """See the module. `claims` has a folder for each namespace, and in it one for each claim."""

    def __init__(self, client: Client, claims: Path) -> None:
        self.ready = True
        """Whether snapshots that are taken get ready."""
        self.binds = True
        """Whether claims get their volumes."""
        self.at_consumer = False
        """Whether a claim waits for the Job that mounts it."""
        self.made: list[Obj] = []
        """Claims that were made of something, as they were when they were bound."""
        self.too_early: list[str] = []
        """Claims that were deleted while a Job could read them."""
        self._client = client
        self._claims = claims

    async def classes(self, name: str = "fast", driver: str = DRIVER) -> None:
        """Make a StorageClass, and the default class of snapshots, once for a server."""
        if await self._client.find(STORAGE_CLASS, name) is None:
            body = {"metadata": {"name": name}, "provisioner": driver}
            await self._client.create(STORAGE_CLASS, body)
        note = {"snapshot.storage.kubernetes.io/is-default-class": "true"}
        snapshots: Obj = {
            "metadata": {"name": "many", "annotations": note},
            "driver": DRIVER,
            "deletionPolicy": "Delete",
        }
        if await self._client.find(VOLUME_SNAPSHOT_CLASS, "many") is None:
            await self._client.create(VOLUME_SNAPSHOT_CLASS, snapshots)

    async def claim(self, namespace: str, name: str, **spec: object) -> Path:
        """Make a bound claim; return the folder that is its volume."""
        volume = f"pv-{namespace}-{name}"
        modes, size = ["ReadWriteOnce"], {"storage": SIZE}
        csi = {"driver": DRIVER, "volumeHandle": volume}
        of = {"namespace": namespace, "name": name}
        pv = {"accessModes": modes, "capacity": size, "csi": csi, "claimRef": of}
        await self._client.create(PERSISTENT_VOLUME, {"metadata": {"name": volume}, "spec": pv})
        wanted = {
            "accessModes": modes,
            "resources": {"requests": size},
            "volumeName": volume,
            "storageClassName": "fast",
            **spec,
        }
        body = {"metadata": {**of, "labels": {"app": name}}, "spec": wanted}
        made = await self._client.create(PERSISTENT_VOLUME_CLAIM, body)
        capacity = {"phase": "Bound", "capacity": size}
        await self._set_status(PERSISTENT_VOLUME_CLAIM, made, capacity)
        folder = self._claims / namespace / name
        folder.mkdir(parents=True)
        return folder

    async def step(self, namespace: str) -> int:
        """Do what the controllers and the driver would; return how much that was."""
        done = 0
        for snapshot in await self._client.list(VOLUME_SNAPSHOT, namespace):
            done += await self._snapshot(snapshot)
        for claim in await self._client.list(PERSISTENT_VOLUME_CLAIM, namespace):
            done += await self._claim(claim)
        return done

    async def _snapshot(self, snapshot: Obj) -> int:
        namespace, status = objects.namespace(snapshot), dig(snapshot, "status", default={})
        kept = self._snapshots(namespace) / objects.name(snapshot)
        if not kept.exists():
            of = dig(snapshot, "spec", "source", "persistentVolumeClaimName")
            shutil.copytree(self._claims / namespace / of, kept, symlinks=True)
            await snapshot_player.bind(self._client, snapshot, ready=self.ready)
            return 1
        if self.ready and not status.get("readyToUse"):
            await self._set_status(VOLUME_SNAPSHOT, snapshot, {"readyToUse": True})
            return 1
        return 0

    async def _claim(self, claim: Obj) -> int:
        namespace, name = objects.namespace(claim), objects.name(claim)
        folder = self._claims / namespace / name
        job = await self._client.find(JOB, name, namespace)
        if dig(claim, "metadata", "deletionTimestamp"):
            if job is not None and not dig(job, "status", "conditions"):
                self.too_early.append(name)
            if job is not None:
                return 0  # so are its Pods, which protect it
            shutil.rmtree(folder, ignore_errors=True)
            await self._patch(PERSISTENT_VOLUME_CLAIM, claim, {"metadata": {"finalizers": None}})
            return 1
        source = dig(claim, "spec", "dataSource")
        waits = not self.binds or (self.at_consumer and job is None)
        if source is None or waits or dig(claim, "status", "phase") == "Bound":
            return 0
        snapshots = source["kind"] == "VolumeSnapshot"
        top = self._snapshots(namespace) if snapshots else self._claims / namespace
        if not (top / source["name"]).exists():
            return 0
        # As a disk is copied: with its inodes' times, so that nothing looks changed.
        shutil.copytree(top / source["name"], folder, symlinks=True)
        self.made.append(claim)
        size = dig(claim, "spec", "resources", "requests")
        await self._set_status(PERSISTENT_VOLUME_CLAIM, claim, {"phase": "Bound", "capacity": size})
        return 1

    def _snapshots(self, namespace: str) -> Path:
        return self._claims / f"snapshots-of-{namespace}"

    async def _set_status(self, resource: Resource, obj: Obj, status: Obj) -> None:
        await self._patch(resource, obj, {"status": status}, "status")

    async def _patch(
        self, resource: Resource, obj: Obj, body: Obj, subresource: str | None = None
    ) -> None:
        name, namespace = objects.name(obj), objects.namespace(obj)
        meta = {"resourceVersion": objects.version(obj), **body.get("metadata", {})}
        patch = {**body, "metadata": meta}
        await self._client.patch(resource, name, namespace, patch, subresource=subresource)
