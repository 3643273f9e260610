"""What a node and a storage driver do for dumps, on a server that has neither.

Pods, claims and volumes are objects that only say what they should; exec is answered here instead
of by a kubelet, and snapshots are taken and made ready by a task. Who dumps where is noted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from tests.support.answering import Answering

from backstay.api.common import API_VERSION, format_time
from backstay.domain import objects
from backstay.domain.clock import Clock
from backstay.domain.errors import AlreadyExists, Conflict
from backstay.domain.objects import Obj
from backstay.kube import resources
from backstay.kube.client import Client
from backstay.kube.resources import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

DRIVER = "csi.example"
NOW = "now"
SHA = "a" * 64


class Containers(Answering):
    """Answers the dump protocol as the containers of all pods do; dumps take `seconds`, and the
    first ones until `together` of them run.
    """

    def __init__(self, nodes: dict[str, str], seconds: float, together: int = 1) -> None:
        self._nodes = nodes
        """By pod."""
        self._seconds = seconds
        self._together = together
        self._met = asyncio.Event()
        self._dumps: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self.started: list[str] = []
        """Pods, in the order in which their dumps were started."""
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """By node, and "" for all: how many dumped at a time, at most."""

    async def answer(self, pod: str, argv: Sequence[str], stdin: bytes) -> Obj:
        del stdin
        verb, run, attempt = argv[3:6]
        key = (pod, run, attempt)
        if verb == "start":
            if key not in self._dumps:
                self.started.append(pod)
                # As in a container: it goes on when nobody listens any more.
                self._dumps[key] = asyncio.create_task(self._dump(pod))
            await asyncio.shield(self._dumps[key])
        return self._state(key)

    async def _dump(self, pod: str) -> None:
        places = ("", self._nodes[pod])
        for place in places:
            self.running[place] += 1
            self.most[place] = max(self.most[place], self.running[place])
        if self.running[""] >= self._together:
            self._met.set()
        await self._met.wait()
        await asyncio.sleep(self._seconds)
        for place in places:
            self.running[place] -= 1

    def _state(self, key: tuple[str, str, str]) -> Obj:
        if key not in self._dumps:
            return {"state": "none"}
        if not self._dumps[key].done():
            return {"state": "running", "bytes": 1}
        _, run, attempt = key
        return {
            "state": "done",
            "run": run,
            "attempt": int(attempt),
            "sha256": SHA,
            "bytes": 1,
            "seconds": 0,
            "engine": "postgres",
            "versions": {"server": "17", "tool": "17"},
            "uid": 1,
            "gid": 1,
            "finishedAt": "2026-11-22T00:33:00Z",
            "format": "custom",
            "compression": "none",
            "at": {"real": "/data", "mount": "/data", "apart": False},
            "mounts": ["/data"],
        }


async def add_databases(client: Client, namespace: str, nodes: Sequence[str]) -> dict[str, str]:
    """Given a namespace and a node for each database, make their objects and a policy for each:
    `db-N` in pod `db-N-0` on claim `data-db-N-0`. Return the node of each pod.
    """
    with_class = {
        "metadata": {
            "name": "fast",
            "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"},
        },
        "driver": DRIVER,
        "deletionPolicy": "Retain",
    }
    with contextlib.suppress(AlreadyExists):
        await client.create(resources.VOLUME_SNAPSHOT_CLASS, with_class)
    return {
        f"db-{number}-0": await _add_database(client, namespace, f"db-{number}", node)
        for number, node in enumerate(nodes)
    }


async def _add_database(client: Client, namespace: str, name: str, node: str) -> str:
    claim, volume = f"data-{name}-0", f"{namespace}-{name}"
    size = {"storage": "1Gi"}
    modes = ["ReadWriteOnce"]
    labels = {"app": name}
    await client.create(
        resources.PERSISTENT_VOLUME,
        {
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": modes,
                "csi": {"driver": DRIVER, "volumeHandle": volume},
            },
        },
    )
    await client.create(
        resources.PERSISTENT_VOLUME_CLAIM,
        {
            "metadata": {"name": claim, "namespace": namespace},
            "spec": {
                "accessModes": modes,
                "resources": {"requests": size},
                "volumeName": volume,
            },
        },
    )
    container = {
        "name": "postgres",
        "image": "postgres",
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod_spec = {
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    await client.create(
        resources.STATEFUL_SET,
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "serviceName": name,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod_spec},
            },
        },
    )
    pod = await client.create(
        resources.POD,
        {
            "metadata": {"name": f"{name}-0", "namespace": namespace, "labels": labels},
            "spec": {"nodeName": node, **pod_spec},
        },
    )
    running = {"state": {"running": {}}, "containerID": f"cri://{name}", "name": "postgres"}
    rest = {"image": "postgres", "imageID": "", "ready": True, "restartCount": 0}
    await _set_status(
        client, resources.POD, pod, {"phase": "Running", "containerStatuses": [running | rest]}
    )
    await client.create(resources.BACKUP_POLICY, _policy(namespace, name, claim))
    return node


def _policy(namespace: str, name: str, claim: str) -> Obj:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "source": {"claims": {"names": [claim]}},
            "dumps": [
                {
                    "name": "all",
                    "target": {"kind": "StatefulSet", "name": name},
                    "postgres": {"databases": ["shop"]},
                    "file": "/data/shop.dump",
                }
            ],
            "retries": 0,
        },
    }


def backup_of(namespace: str, policy: str) -> Obj:
    """Return an ad-hoc Backup of a policy, with the policy's name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Backup",
        "metadata": {"name": policy, "namespace": namespace},
        "spec": {"policy": policy},
    }


@contextlib.asynccontextmanager
async def taking_snapshots(client: Client, clock: Clock, namespace: str) -> AsyncIterator[None]:
    """Take the snapshots of a namespace while the block runs."""
    driver = asyncio.create_task(_take_snapshots(client, clock, namespace))
    try:
        yield
    finally:
        driver.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await driver  # or its request outlives the client


async def _take_snapshots(client: Client, clock: Clock, namespace: str) -> None:
    """Take every snapshot of a namespace as it comes, and make it ready at once."""
    done: set[str] = set()
    while True:
        for snapshot in await client.list(VOLUME_SNAPSHOT, namespace):
            if objects.uid(snapshot) not in done:
                try:
                    await take(client, clock, snapshot)
                except (Conflict, AlreadyExists):
                    continue  # it changed meanwhile
                done.add(objects.uid(snapshot))
        await asyncio.sleep(0.2)


async def take(
    client: Client,
    clock: Clock,
    snapshot: Obj,
    reported: str | None = NOW,
    *,
    ready: bool = True,
    policy: str = "Retain",
) -> None:
    """Given a snapshot as read and what the driver says of the time, take it and make it ready, or
    not yet. Raise Conflict if it changed since. `policy` is its class's.
    """
    name, namespace = objects.name(snapshot), objects.namespace(snapshot)
    reported = format_time(clock.now()) if reported == NOW else reported
    content = await client.create(
        VOLUME_SNAPSHOT_CONTENT,
        {
            "metadata": {"name": f"snapcontent-{objects.uid(snapshot)}"},
            "spec": {
                "deletionPolicy": policy,
                "driver": DRIVER,
                "source": {"volumeHandle": name},
                "volumeSnapshotRef": {
                    "name": name,
                    "namespace": namespace,
                    "uid": objects.uid(snapshot),
                },
            },
        },
    )
    handle = {"snapshotHandle": name, "readyToUse": ready}
    await _set_status(client, VOLUME_SNAPSHOT_CONTENT, content, handle)
    status = {
        "boundVolumeSnapshotContentName": objects.name(content),
        "creationTime": reported,
        "readyToUse": ready,
        "restoreSize": "1Gi",
    }
    await _set_status(client, VOLUME_SNAPSHOT, snapshot, status)


async def make_ready(client: Client, snapshot: Obj) -> None:
    """Given a snapshot that was taken, as read, make it ready."""
    await _set_status(client, VOLUME_SNAPSHOT, snapshot, {"readyToUse": True})


async def _set_status(client: Client, resource: resources.Resource, obj: Obj, status: Obj) -> None:
    patch = {"metadata": {"resourceVersion": objects.version(obj)}, "status": status}
    await client.patch(
        resource,
        objects.name(obj),
        objects.namespace(obj) or None,
        patch,
        subresource="status",
    )
