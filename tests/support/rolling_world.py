"""An operator for rolling copies, wired as in main, with a node of the test's own."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.node import Node, NodeClient
from tests.support.storage import Storage

from backstay.api.backup import FINAL_PHASES
from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.clock import Clock
from backstay.domain.errors import Conflict, Transient
from backstay.domain.objects import Obj, dig
from backstay.engine.queue import Key
from backstay.engine.system_clock import SystemClock
from backstay.kube.events import EventPoster
from backstay.kube.exec import Exec
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    JOB,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    Resource,
)
from backstay.main import Router
from backstay.reconcile import keys
from backstay.settings import DestinationRoot, RollingRoots, Settings, SourceRoot
from backstay.steps.exec_streams import Streams

WITHIN = 180.0
"""Seconds in which everything must come to rest: a guard against a loop, not a speed."""
WORKER = "worker-1"


class World:
    """An operator without a loop: what it enqueues is done when the test says so."""

    def __init__(self, client: NodeClient, access: Login, home: str, root: Path) -> None:
        self.client = client
        self.home = home
        self.root = root
        self.source, self.backup = root / "srv", root / "backup"
        self.claims = root / "claims"
        self.node = Node(client, WORKER, self.claims)
        self.storage = Storage(client, self.claims)
        self.exec: Exec = Exec(access)
        self.namespace = ""
        self.restart()

    def restart(
        self, clock: Clock | None = None, client: NodeClient | None = None, **allowed: Any
    ) -> None:
        """Start the operator again, with another clock, client or roots where the test says so."""
        client = client or self.client
        roots = {
            "sources": (SourceRoot(path=str(self.source), namespaces=("*",), restore=True),),
            "destinations": (DestinationRoot(path=str(self.backup), namespaces=("*",)),),
        }
        settings = Settings(namespace=self.home, rolling=RollingRoots(**roots | allowed))
        clock = clock or SystemClock()
        events = EventPoster(client, clock, "test")
        self._router = Router(settings, clock, client, events, Streams(self.exec))
        self._router.wire(self.add)
        self._due: set[Key] = set()

    @property
    def due(self) -> frozenset[Key]:
        """What was asked for and is not done yet."""
        return frozenset(self._due)

    def add(self, key: Key) -> None:
        """Enqueue a key, as the queue of the operator does."""
        self._due.add(key)

    async def look(self, key: Key) -> timedelta | None:
        """Look at a key once, as the queue does; return when it wants to be looked at again."""
        return await self._router.reconcile(key)

    async def step(self) -> bool:
        """Do once what is due; return whether anything was."""
        due, self._due = sorted(self._due), set()
        for key in due:
            try:
                after = await self._router.reconcile(key)
            except (Conflict, Transient):
                after = timedelta(0)
            if after is not None and after < timedelta(minutes=1) and await self._is_ours(key):
                self._due.add(key)
        return bool(due)

    async def _is_ours(self, key: Key) -> bool:
        """Return whether to look at a key again for this test's sake."""
        if key.namespace not in ("", self.namespace):  # a run of another test that was admitted
            return False
        if key == keys.ADMISSION:  # runs that other tests left on the server may wait for a time
            found = await self.client.list(BACKUP, self.namespace)
            return any(dig(b, "status", "phase") not in FINAL_PHASES for b in found)
        if key == keys.leftovers():  # of other tests as well
            found = await self.client.list(PERSISTENT_VOLUME_CLAIM, self.namespace)
            return any(labels.TEMPORARY in objects.labels(claim) for claim in found)
        # A policy that cannot run is looked at again for as long as that is so.
        return key.kind != keys.POLICY

    async def settle(self, *first: Key) -> None:
        """Work and let the node work, until neither has anything to do. Who looks at the copies of
        a policy looks at its retention as well, as the resync does.
        """
        copies = [key for key in first if key.kind == keys.COPIES]
        self._due |= {*first, *(keys.retention(key.namespace, key.name) for key in copies)}
        limit = time.monotonic() + WITHIN
        while time.monotonic() < limit:
            busy = await self.step()
            moved = await self.storage.step(self.namespace)
            ran = await self.node.run()
            if not busy and not ran and not moved:
                return
        backups = await self.client.list(BACKUP, self.namespace)
        due = f"due: {self._due}, jobs {ran}, storage {moved}"
        raise AssertionError(f"{due}; {[b.get('status') for b in backups]}")

    async def create(self, resource: Resource, name: str, spec: Obj, **meta: Any) -> Obj:
        metadata = {"name": name, "namespace": self.namespace, **meta}
        return await self.client.create(resource, {"metadata": metadata, "spec": spec})

    async def policy(self, name: str = "uploads", **spec: Any) -> None:
        defaults: Obj = {
            "source": {"hostPath": {"path": str(self.source / "uploads"), "node": WORKER}},
            "rolling": {
                "destination": {"hostPath": str(self.backup)},
                "allowSameFileSystem": True,
                "scrub": {"days": 0},
            },
            "retries": 0,
        }
        await self.create(BACKUP_POLICY, name, defaults | spec)
        await self.settle(keys.policy(self.namespace, name), keys.copies(self.namespace, name))

    async def run(self, policy: str = "uploads", slot: int | None = None, **meta: Any) -> Obj:
        """Run a policy to its end; with a slot, as its schedule would. Return the Backup."""
        name = f"{policy}-{secrets.token_hex(3)}"
        spec: Obj = {"policy": policy}
        if slot is not None:
            at = SystemClock().now() + timedelta(minutes=slot)
            spec |= {"trigger": "Scheduled", "scheduledFor": format_time(at)}
        await self.create(BACKUP, name, spec, **meta)
        await self.settle(keys.backup(self.namespace, name))
        return await self.get(BACKUP, name)

    async def get(self, resource: Resource, name: str) -> Obj:
        return await self.client.get(resource, name, self.namespace)

    async def jobs(self, namespace: str | None = None) -> list[Obj]:
        return await self.client.list(JOB, namespace or self.home)

    def points(self, policy: str = "uploads") -> dict[str, Path]:
        """The points at the destination, by stamp."""
        found = (self.backup / self.namespace / policy).glob("*/points/[0-9]*.json")
        return {path.stem: path for path in sorted(found)}

    async def age(self, backup: Obj, days: int = 2) -> None:
        """Let days pass since a copy was made; whoever calls it has the series listed."""
        name = objects.name(backup)
        found = await self.get(BACKUP, name)
        path = self.points()[found["status"]["points"][0]["ref"]]
        raw = json.loads(path.read_text())
        past = SystemClock().now().replace(microsecond=0) - timedelta(days=days)
        path.write_text(json.dumps(raw | {"taken": past.isoformat()}))
        body = {
            "metadata": {"resourceVersion": objects.version(found)},
            "status": {"completedAt": format_time(past)},
        }
        await self.client.patch(BACKUP, name, self.namespace, body, subresource="status")

    async def condition(self, kind: str, name: str = "uploads") -> Obj:
        """A condition of the policy; where there is none, one that says False."""
        policy = await self.get(BACKUP_POLICY, name)
        conditions = dig(policy, "status", "conditions", default=[])
        none: Obj = {"status": "False", "reason": "", "message": ""}
        return next((c for c in conditions if c["type"] == kind), none)

    async def annotate(self, key: str, value: str) -> None:
        """Annotate the policy as kubectl does, and let everything follow."""
        policy = await self.get(BACKUP_POLICY, "uploads")
        metadata = {"resourceVersion": objects.version(policy), "annotations": {key: value}}
        await self.client.patch(BACKUP_POLICY, "uploads", self.namespace, {"metadata": metadata})
        await self.settle(keys.copies(self.namespace, "uploads"))

    async def patch_policy(self, name: str = "uploads", **body: Any) -> None:
        """Change a policy, and let everything follow."""
        policy = await self.get(BACKUP_POLICY, name)
        patch = {"metadata": {"resourceVersion": objects.version(policy)}, **body}
        await self.client.patch(BACKUP_POLICY, name, self.namespace, patch)
        await self.settle(keys.policy(self.namespace, name), keys.copies(self.namespace, name))

    async def _forget_look(self, field: str) -> None:
        """Let a day pass for one of the looks at the destination."""
        policy = await self.get(BACKUP_POLICY, "uploads")
        copies = [{**c, field: "2026-01-01T00:00:00Z"} for c in policy["status"]["copies"]]
        body = {
            "metadata": {"resourceVersion": objects.version(policy)},
            "status": {"copies": copies},
        }
        await self.client.patch(
            BACKUP_POLICY, "uploads", self.namespace, body, subresource="status"
        )
        for job in await self.jobs():
            await self.delete_job(job)
        await self.settle(keys.copies(self.namespace, "uploads"))

    async def delete_job(self, job: Obj) -> None:
        """Delete a Job as kubectl does."""
        name, uid = objects.name(job), objects.uid(job)
        await self.client.delete(JOB, name, self.home, uid=uid, propagation="Background")

    async def relist(self) -> None:
        """A day later: the destination is listed again."""
        await self._forget_look("listedAt")

    async def scrub_again(self) -> None:
        """A day later: a part of the copies is read again."""
        await self._forget_look("scrubbedAt")

    async def claim(self, name: str, modes: Sequence[str] = ("ReadWriteOnce",)) -> None:
        """Make a claim, and the folder that stands for its volume."""
        (self.claims / self.namespace / name).mkdir(parents=True)
        spec = {
            "accessModes": list(modes),
            "resources": {"requests": {"storage": "1Gi"}},
        }
        await self.create(PERSISTENT_VOLUME_CLAIM, name, spec)

    async def pod(self, name: str, claim: str, node: str, **meta: Any) -> None:
        """Make a Pod that uses a claim on a node."""
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
        spec = {
            "nodeName": node,
            "containers": [{"name": "app", "image": "none"}],
            "volumes": [volume],
        }
        await self.create(POD, name, spec, **meta)

    async def ready(self, name: str = "uploads") -> Obj:
        policy = await self.get(BACKUP_POLICY, name)
        found: Obj = next(c for c in policy["status"]["conditions"] if c["type"] == "Ready")
        return found


async def ensure_node(client: NodeClient, name: str, *, ready: bool) -> None:
    """Make the node if it is not there, and have it ready or not."""
    node = await client.find(NODE, name) or await client.create(NODE, {"metadata": {"name": name}})
    condition = {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "" if ready else "Kubelet stopped posting node status.",
    }
    body = {
        "metadata": {"resourceVersion": objects.version(node)},
        "status": {"conditions": [condition]},
    }
    await client.patch(NODE, name, None, body, subresource="status")
