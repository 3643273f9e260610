"""A world of many snapshots on a real API server, and a bare writer to compare with.

There is no snapshot controller: status is stored like everything else, so that only work of the
API server is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp

from backstay.api.common import format_time
from backstay.domain import labels
from backstay.domain.objects import Obj
from backstay.domain.records.annotation import build_record
from backstay.domain.records.record import ClaimRecord, DumpRecord, Record
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    NAMESPACE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
    Resource,
)

CONNECTIONS: Final = 32
ETCD_OPERATIONS: Final = 100
"""Of one transaction; etcd takes 128."""
MERGE: Final = "application/merge-patch+json"
POLICY: Final = "shop"
"""In every namespace the same name, as where one template serves all teams."""


@dataclass(frozen=True, slots=True)
class Write:
    """One request, ready to be sent."""

    method: str
    path: str
    body: bytes


def create(resource: Resource, body: Obj) -> Write:
    """Given an object, return its POST."""
    whole = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
    path = resource.path(body["metadata"].get("namespace"))
    return Write("POST", path, json.dumps(whole).encode())


def patch(resource: Resource, obj: Obj, body: Obj, subresource: str | None = None) -> Write:
    """Given an object and a merge patch, return its PATCH."""
    metadata = obj["metadata"]
    path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
    return Write("PATCH", path, json.dumps(body).encode())


async def send(access: Login, writes: Iterable[Write]) -> list[Any]:
    """Given requests, send them over so many connections, no more than aiohttp does; return the
    answers in order. Raise RuntimeError for one that was refused.
    """
    queue = iter(list(enumerate(writes)))
    found: dict[int, bytes] = {}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=access.tls)
    async with aiohttp.ClientSession(connector=connector, headers=await access.headers()) as http:

        async def work() -> None:
            for number, write in queue:
                kind = MERGE if write.method == "PATCH" else "application/json"
                async with http.request(
                    write.method,
                    access.host + write.path,
                    data=write.body,
                    headers={"Content-Type": kind},
                ) as answer:
                    found[number] = await answer.read()
                    if answer.status >= 300:
                        raise RuntimeError(f"{write.path}: {found[number][:300]!r}")

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return [found[number] for number in sorted(found)]


async def build(access: Login, etcd: str, namespaces: int, each: int) -> None:
    """Given the server, its etcd, how many namespaces and how many points in each, make a policy
    per namespace and per point a good snapshot without tiers, its content as the driver leaves
    it, and its Backup.

    One of each kind goes through the API server; the others are copies of what it stored, put
    into etcd: through the server they would take longer than all that is measured.
    """
    names = [f"team-{number:03}" for number in range(namespaces)]
    await send(access, (create(NAMESPACE, {"metadata": {"name": name}}) for name in names))
    await send(access, (create(BACKUP_POLICY, _policy(name)) for name in names))
    now = datetime.now(UTC)  # noqa: TID251 - the snapshots are of the last days
    places = [(name, now - timedelta(days=day)) for name in names for day in range(each)]
    async with aiohttp.ClientSession(etcd) as http:
        runs = await _make(access, http, BACKUP, [_backup(*place) for place in places])
        uids = [run["metadata"]["uid"] for run in runs]
        found = [_snapshot(*place, uid) for place, uid in zip(places, uids, strict=True)]
        made = await _make(access, http, VOLUME_SNAPSHOT, found)
        contents = [_content(snapshot) for snapshot in made]
        await _make(access, http, VOLUME_SNAPSHOT_CONTENT, contents)


async def _make(
    access: Login, etcd: aiohttp.ClientSession, resource: Resource, found: list[tuple[Obj, Obj]]
) -> list[Obj]:
    """Given objects and their status, store them all; return them as stored."""
    (first, status), *others = found
    await send(access, [create(resource, first)])
    await send(access, [patch(resource, first, {"status": status}, "status")])
    key = _key(resource, first)
    answer = await _etcd(etcd, "range", {"key": _encoded(key.encode())})
    stored: Obj = json.loads(base64.b64decode(answer["kvs"][0]["value"]))
    copies = [_copy(stored, body, status) for body, status in others]
    for start in range(0, len(copies), ETCD_OPERATIONS):
        puts = [
            {
                "requestPut": {
                    "key": _encoded(_key(resource, copy).encode()),
                    "value": _encoded(json.dumps(copy, separators=(",", ":")).encode()),
                }
            }
            for copy in copies[start : start + ETCD_OPERATIONS]
        ]
        await _etcd(etcd, "txn", {"success": puts})
    return [stored, *copies]


def _copy(stored: Obj, body: Obj, status: Obj) -> Obj:
    """Another object, with all that the server adds to one of its kind."""
    metadata = {**stored["metadata"], **body["metadata"], "uid": str(uuid.uuid4())}
    return {**stored, "metadata": metadata, "spec": body["spec"], "status": status}


def _key(resource: Resource, obj: Obj) -> str:
    metadata = obj["metadata"]
    place = f"{metadata['namespace']}/" if resource.namespaced else ""
    return f"/registry/{resource.group}/{resource.plural}/{place}{metadata['name']}"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _etcd(etcd: aiohttp.ClientSession, what: str, body: Obj) -> Any:
    async with etcd.post(f"/v3/kv/{what}", json=body) as answer:
        answer.raise_for_status()
        return await answer.json(content_type=None)


def _policy(namespace: str) -> Obj:
    spec = {"source": {"claims": {"names": ["data"]}}, "retention": {"daily": 90}}
    return {"metadata": {"name": POLICY, "namespace": namespace}, "spec": spec}


def _names(taken: datetime) -> tuple[str, str]:
    stamp = f"{taken:%Y%m%d-%H%M}"
    return f"data-{stamp}-1", f"{POLICY}-{stamp}"


def _snapshot(namespace: str, taken: datetime, run: str) -> tuple[Obj, Obj]:
    name, backup = _names(taken)
    claim = ClaimRecord(
        "data", f"uid-{namespace}", "10Gi", "fast", ("ReadWriteOnce",), "Filesystem"
    )
    dump = DumpRecord("shop", "postgres", "/data/shop.dump", "shop.dump", "a" * 64, 1 << 20, 999, 9)
    record = Record(
        policy=POLICY,
        backup=backup,
        slot=taken,
        zone="UTC",
        attempt=1,
        namespace=namespace,
        namespace_uid=f"uid-{namespace}",
        claim=claim,
        dumps=(dump,),
    )
    carried = {
        labels.POLICY: POLICY,
        labels.PVC: "data",
        labels.BACKUP: backup,
        labels.TYPE: "cronjob",
        labels.RESULT: "good",
        labels.RETAIN: "daily_weekly_monthly",
    }
    notes = {
        labels.RUN: run,
        labels.RECORD: build_record(record),
        labels.TAKEN_AT: format_time(taken),
        labels.GOOD_SINCE: format_time(taken),
    }
    metadata = {"name": name, "namespace": namespace, "labels": carried, "annotations": notes}
    status = {
        "creationTime": format_time(taken),
        "readyToUse": True,
        "restoreSize": "10Gi",
        "boundVolumeSnapshotContentName": f"snapcontent-{namespace}-{name}",
    }
    source = {"persistentVolumeClaimName": "data"}
    spec = {"volumeSnapshotClassName": "fast", "source": source}
    return {"metadata": metadata, "spec": spec}, status


def _content(snapshot: Obj) -> tuple[Obj, Obj]:
    metadata = snapshot["metadata"]
    name = f"snapcontent-{metadata['namespace']}-{metadata['name']}"
    spec = {
        "driver": "csi.example",
        "deletionPolicy": "Delete",
        "source": {"volumeHandle": f"volume-{metadata['namespace']}"},
        "volumeSnapshotRef": {key: metadata[key] for key in ("name", "namespace", "uid")},
    }
    return {"metadata": {"name": name}, "spec": spec}, {
        "snapshotHandle": f"handle-{name}",
        "readyToUse": True,
        "restoreSize": 10 << 30,
    }


def _backup(namespace: str, taken: datetime) -> tuple[Obj, Obj]:
    name, backup = _names(taken)
    stamp = format_time(taken)
    point = {
        "source": "data",
        "store": "Snapshot",
        "ref": name,
        "attempt": 1,
        "snapshot": {"content": f"snapcontent-{namespace}-{name}"},
        "result": "good",
        "takenAt": stamp,
    }
    spec = {"policy": POLICY, "trigger": "Scheduled", "scheduledFor": stamp}
    status = {
        "phase": "Completed",
        "attempt": 1,
        "startedAt": stamp,
        "completedAt": stamp,
        "points": [point],
    }
    return {"metadata": {"name": backup, "namespace": namespace}, "spec": spec}, status
