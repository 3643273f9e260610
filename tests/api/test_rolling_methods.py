"""Copies that are made of a temporary claim, with the real agent and a real API server; the driver
and the node are the test's own.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.dumping_cluster import Containers, add_databases
from tests.support.killing import Killed, killing
from tests.support.node import NodeClient
from tests.support.rolling_world import WORKER, World
from tests.support.waiting import within

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.copies.temporary import job_name
from backstay.domain.times import parse_time
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    EVENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    VOLUME_SNAPSHOT,
)
from backstay.reconcile import keys

METHODS = ["Snapshot", "Clone"]


def spec_of(method: str, **more: Any) -> dict[str, Any]:
    rolling = {
        "destination": {"claim": {"name": "backups"}},
        "allowSameFileSystem": True,
        "scrub": {"days": 0},
        "copyMethod": method,
    }
    found: dict[str, Any] = {"source": {"claims": {"names": ["data"]}}, "rolling": rolling}
    return found | ({"snapshot": {}} if method == "Snapshot" else {}) | more


async def begin(world: World, method: str, **more: Any) -> Path:
    """A policy of claim `data`, which has a file; return the folder that is its volume."""
    await world.storage.classes()
    data = await world.storage.claim(world.namespace, "data")
    await world.storage.claim(world.namespace, "backups")
    (data / "a").write_text("one")
    await world.policy(**spec_of(method, **more))
    return data


async def ask(world: World, name: str = "run") -> Obj:
    backup = await world.create(BACKUP, name, {"policy": "uploads"})
    world.add(keys.backup(world.namespace, name))
    return backup


async def temporary(world: World) -> list[Obj]:
    found = labels.TEMPORARY
    return await world.client.list(PERSISTENT_VOLUME_CLAIM, world.namespace, labels=found)


async def until_job(world: World) -> Obj:
    """Work until the Job of the copy is there, and nobody has run it."""
    async with within(60, "the Job of a copy"):
        while True:
            await world.step()
            await world.storage.step(world.namespace)
            if jobs := [j for j in await world.jobs(world.namespace) if _is_copy(j)]:
                return jobs[-1]


def _is_copy(job: Obj) -> bool:
    return "-copy-" in objects.name(job)


def copies(world: World) -> list[Path]:
    """The copies of the claim `data`, oldest first."""
    top = world.claims / world.namespace / "backups" / world.namespace / "uploads"
    return sorted(p for p in top.glob("data-*/*Z") if p.is_symlink())


def point(backup: Obj, store: str = "Rolling") -> Obj:
    return dict(next(p for p in backup["status"]["points"] if p["store"] == store))


async def shift(world: World, field: str, name: str = "run") -> None:
    """Have a moment of a Backup, or of its copy, be long ago."""
    found = await world.get(BACKUP, name)
    past, status = format_time(SystemClock().now() - timedelta(hours=2)), found["status"]
    if field in status:
        change: Obj = {field: past}
    else:
        change = {"points": [{**p, field: past} if field in p else p for p in status["points"]]}
    body = {"metadata": {"resourceVersion": objects.version(found)}, "status": change}
    await world.client.patch(BACKUP, name, world.namespace, body, subresource="status")
    world.add(keys.backup(world.namespace, name))


async def test_a_copy_of_the_snapshot_is_of_its_moment_and_of_the_source(world: World) -> None:
    data = await begin(world, "Snapshot")
    world.storage.ready = False
    await ask(world)
    for _ in range(6):
        await world.step()
        await world.storage.step(world.namespace)
    waiting = await world.get(BACKUP, "run")
    assert waiting["status"]["phase"] == "Copying"
    assert waiting["status"]["message"] == "copy data: it waits until its snapshot is ready"
    assert [j for j in await world.jobs(world.namespace) if _is_copy(j)] == []
    assert await temporary(world) == []

    (data / "a").write_text("written after the snapshot")
    world.storage.ready = True
    await world.settle(keys.backup(world.namespace, "run"))

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Completed", done["status"]
    (copy,) = copies(world)
    assert (copy / "a").read_text() == "one"
    made, source = point(done), await world.get(PERSISTENT_VOLUME_CLAIM, "data")
    assert made["source"] == "data"
    assert made["takenAt"] == point(done, "Snapshot")["takenAt"]
    assert made["rolling"]["identity"] == [
        f"claim:{objects.uid(source)}",
        f"volume:{source['spec']['volumeName']}",
    ]


@pytest.mark.parametrize("method", METHODS)
async def test_the_job_reads_a_temporary_claim_that_goes_when_it_is_done(
    world: World, method: str
) -> None:
    await begin(world, method)
    await world.pod("uses-data", "data", "worker-elsewhere")
    backup = await ask(world)

    job = await until_job(world)

    (claim,) = await temporary(world)
    assert objects.name(claim) == objects.name(job) == job_name(backup, 1, "data")
    assert claim["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "backstay.dev/v1alpha1",
            "kind": "Backup",
            "name": "run",
            "uid": objects.uid(backup),
        }
    ]
    assert objects.labels(claim) == {labels.TEMPORARY: objects.uid(backup)}
    spec = claim["spec"]
    (snapshot, *_) = await world.client.list(VOLUME_SNAPSHOT, world.namespace) or [{}]
    made_of = {
        "Snapshot": ("VolumeSnapshot", objects.name(snapshot)),
        "Clone": ("PersistentVolumeClaim", "data"),
    }
    assert (spec["dataSource"]["kind"], spec["dataSource"]["name"]) == made_of[method]
    assert (spec["storageClassName"], spec["accessModes"]) == ("fast", ["ReadWriteOnce"])
    assert spec["resources"]["requests"]["storage"] == "1Gi"
    pod = dig(job, "spec", "template", "spec")
    assert {v["name"]: dig(v, "persistentVolumeClaim", "claimName") for v in pod["volumes"]} == {
        "source": objects.name(claim),
        "destination": "backups",
        "tmp": None,
    }
    mounts = {m["name"]: m for m in pod["containers"][0]["volumeMounts"]}
    assert mounts["source"]["readOnly"] is True
    # The Pods of the source do not decide where a copy of its copy is made.
    assert "affinity" not in pod

    await world.settle()

    assert await temporary(world) == []
    assert world.storage.too_early == []
    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Completed"
    if method == "Clone":
        taken = dig(claim, "metadata", "creationTimestamp")
        assert parse_time(point(done)["takenAt"]) == parse_time(taken)


async def test_a_claim_that_waits_for_its_consumer_gets_one(world: World) -> None:
    await begin(world, "Snapshot")
    world.storage.at_consumer = True
    await ask(world)
    await world.settle()
    assert (await world.get(BACKUP, "run"))["status"]["phase"] == "Completed"


@pytest.mark.parametrize(("capacity", "size"), [("5Gi", "5Gi"), ("500Mi", "1Gi")])
async def test_a_temporary_claim_holds_source_and_snapshot_and_is_of_a_class_of_the_driver(
    world: World, capacity: str, size: str
) -> None:
    await begin(world, "Snapshot")
    await world.storage.claim(world.namespace, "grown", storageClassName="lost")
    claim = await world.get(PERSISTENT_VOLUME_CLAIM, "grown")
    body = {
        "metadata": {"resourceVersion": objects.version(claim)},
        "status": {"phase": "Bound", "capacity": {"storage": capacity}},
    }
    kind, home = PERSISTENT_VOLUME_CLAIM, world.namespace
    await world.client.patch(kind, "grown", home, body, subresource="status")
    await world.patch_policy(spec={"source": {"claims": {"names": ["grown"]}}})
    await ask(world)

    await until_job(world)

    (made,) = await temporary(world)
    assert made["spec"]["resources"]["requests"]["storage"] == size
    assert made["spec"]["storageClassName"] == "fast"


@pytest.mark.parametrize("method", METHODS)
async def test_an_operator_that_is_killed_before_any_write_leaves_one_copy_and_no_claim(
    world: World, credentials: Login, method: str
) -> None:
    await begin(world, method)
    kills = 0
    while True:
        name = f"killed-{kills}"
        async with NodeClient(credentials, SystemClock(), fence=killing(kills)) as mortal:
            mortal.logs = world.client.logs
            world.restart(client=mortal)
            await ask(world, name)
            try:
                await world.settle()
                killed = False
            except Killed:
                killed = True
        world.restart()
        await world.settle(keys.backup(world.namespace, name), keys.leftovers())

        done = await world.get(BACKUP, name)
        assert done["status"]["phase"] == "Completed", (kills, done["status"])
        assert len(copies(world)) == kills + 1
        assert len(world.storage.made) == kills + 1
        assert await temporary(world) == []
        assert world.storage.too_early == []
        if not killed:
            break
        kills += 1
    # Its claim, its Job, the claim's deletion, and the status between them.
    assert kills > 8


async def test_a_claim_of_that_name_that_somebody_else_made_is_neither_read_nor_deleted(
    world: World,
) -> None:
    await begin(world, "Snapshot", retries=0)
    backup = await ask(world)
    name = job_name(backup, 1, "data")
    await world.storage.claim(world.namespace, name)

    await world.settle()

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "PartiallyFailed"
    assert f"claim {world.namespace}/{name} was made by somebody else" in done["status"]["message"]
    assert point(done, "Snapshot")["result"] == "good"
    assert not dig(await world.get(PERSISTENT_VOLUME_CLAIM, name), "metadata", "deletionTimestamp")
    assert [j for j in await world.jobs(world.namespace) if _is_copy(j)] == []


async def fail_once(world: World) -> Path:
    """A run whose snapshot is good and whose first attempt at a copy has failed."""
    data = await begin(world, "Snapshot", retries=1)
    backup = await ask(world)
    await world.storage.claim(world.namespace, job_name(backup, 1, "data"))
    async with within(60, "the first attempt to fail"):
        while dig(await world.get(BACKUP, "run"), "status", "retryAt") is None:
            await world.step()
            await world.storage.step(world.namespace)
    return data


async def test_a_retry_copies_the_same_snapshot_by_a_claim_of_its_own(world: World) -> None:
    data = await fail_once(world)
    (data / "a").write_text("written after the snapshot")

    await shift(world, "retryAt")
    await world.settle(keys.ADMISSION)

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Completed", done["status"]
    assert (point(done)["attempt"], point(done, "Snapshot")["attempt"]) == (2, 1)
    assert len(await world.client.list(VOLUME_SNAPSHOT, world.namespace)) == 1
    (copy,) = copies(world)
    assert (copy / "a").read_text() == "one"
    assert [objects.name(c) for c in world.storage.made] == [job_name(done, 2, "data")]


async def test_a_snapshot_that_somebody_deleted_fails_the_copy_by_its_name(world: World) -> None:
    await fail_once(world)
    (snapshot,) = await world.client.list(VOLUME_SNAPSHOT, world.namespace)
    name = objects.name(snapshot)
    await world.client.delete(VOLUME_SNAPSHOT, name, world.namespace, uid=objects.uid(snapshot))

    await shift(world, "retryAt")
    await world.settle(keys.ADMISSION)

    message = (await world.get(BACKUP, "run"))["status"]["message"]
    assert f"VolumeSnapshot {name}, which it is made of, is missing" in message
    assert await temporary(world) == []


async def test_a_claim_that_does_not_bind_fails_the_copy_and_says_what_it_waits_for(
    world: World,
) -> None:
    await begin(world, "Clone", retries=0)
    world.storage.binds = False
    await ask(world)
    job = await until_job(world)
    (claim,) = await temporary(world)
    about = {
        "kind": "PersistentVolumeClaim",
        "namespace": world.namespace,
        "name": objects.name(claim),
        "uid": objects.uid(claim),
    }
    warning = {
        "metadata": {"name": "no-clone", "namespace": world.namespace},
        "involvedObject": about,
        "type": "Warning",
        "reason": "ProvisioningFailed",
        "message": "the driver does not clone",
        "source": {"component": "csi-provisioner"},
    }
    await world.client.create(EVENT, warning)
    world.client.late = timedelta(hours=2)
    await shift(world, "requestedAt")

    await world.settle()

    done = await world.get(BACKUP, "run")
    said = f"claim {objects.name(claim)}: ProvisioningFailed: the driver does not clone"
    assert f"not started within startTimeout (0:10:00): {said}" in done["status"]["message"]
    assert await temporary(world) == []
    assert await world.client.find(JOB, objects.name(job), world.namespace) is None


async def test_a_claim_stays_while_a_pod_of_its_job_is_ending(world: World) -> None:
    await begin(world, "Clone", retries=0)
    await ask(world)
    job = await until_job(world)
    name = objects.name(job)
    await world.pod("ends", name, WORKER)
    await shift(world, "requestedAt")
    for _ in range(3):
        await world.step()

    assert (await world.get(BACKUP, "run"))["status"]["phase"] == "Failed"
    (kept,) = await temporary(world)
    assert not dig(kept, "metadata", "deletionTimestamp")
    assert await world.look(keys.leftovers()) == timedelta(seconds=30)

    pod = await world.get(POD, "ends")
    ended = {"metadata": {"resourceVersion": objects.version(pod)}, "status": {"phase": "Failed"}}
    await world.client.patch(POD, "ends", world.namespace, ended, subresource="status")
    assert await world.look(keys.leftovers()) is None
    await world.storage.step(world.namespace)
    assert await temporary(world) == []


async def test_the_claim_of_a_backup_that_was_deleted_goes_when_nothing_reads_it(
    world: World,
) -> None:
    await begin(world, "Clone")
    backup = await ask(world)
    job = await until_job(world)
    await world.client.delete(BACKUP, "run", world.namespace, uid=objects.uid(backup))

    assert await world.look(keys.leftovers()) == timedelta(seconds=30)
    assert len(await temporary(world)) == 1
    await world.node.kill(job)
    await world.look(keys.leftovers())
    await world.storage.step(world.namespace)

    assert await temporary(world) == []
    assert world.storage.too_early == []


async def test_a_selector_never_finds_a_temporary_claim(world: World) -> None:
    selector = {"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]}
    await world.storage.classes()
    data = await world.storage.claim(world.namespace, "data")
    (data / "a").write_text("one")
    await world.policy(**spec_of("Clone"))
    await world.storage.claim(world.namespace, "backups")
    await ask(world)
    await until_job(world)
    assert len(await temporary(world)) == 1

    await world.policy("all", source={"claims": {"selector": selector}}, snapshot={}, rolling=None)
    await world.create(BACKUP, "all", {"policy": "all"})
    await world.look(keys.backup(world.namespace, "all"))

    plan = (await world.get(BACKUP, "all"))["status"]["plan"]
    assert {c["name"] for c in plan["claims"]} == {"data", "backups"}


class Dumps(Containers):
    """Containers whose dumps have the sha256 that the test says."""

    sha256 = ""

    def _state(self, key: tuple[str, str, str]) -> Obj:
        return {**super()._state(key), "sha256": self.sha256}


@pytest.mark.parametrize("method", ["Direct", "Snapshot"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_copy_must_have_the_dump_of_its_run_inside(
    world: World, method: str, replaced: bool
) -> None:
    nodes = await add_databases(world.client, world.namespace, [WORKER])
    world.exec = dumps = Dumps(nodes, seconds=0)
    world.restart()
    folder = world.claims / world.namespace / "data-db-0-0"
    folder.mkdir(parents=True)
    dumps.sha256 = hashlib.sha256(b"the dump").hexdigest()
    (folder / "shop.dump").write_bytes(b"another" if replaced else b"the dump")
    await world.storage.classes()
    await world.storage.claim(world.namespace, "backups")
    del nodes

    rolling = {**spec_of(method)["rolling"]}
    await world.patch_policy("db-0", spec={"rolling": rolling, "snapshot": {}})
    await world.create(BACKUP, "run", {"policy": "db-0"})
    await world.settle(keys.backup(world.namespace, "run"))

    done = await world.get(BACKUP, "run")
    (job,) = [j for j in world.node.ran if _is_copy(j)]
    (container,) = dig(job, "spec", "template", "spec", "containers")
    task = json.loads(next(e["value"] for e in container["env"] if e["name"] == "BACKSTAY_TASK"))
    assert task["dumps"] == [{"name": "all", "path": "shop.dump", "sha256": dumps.sha256}]
    assert ("taken" in task) is (method == "Snapshot")
    assert point(done, "Snapshot")["result"] == "good"
    if replaced:
        assert done["status"]["phase"] == "PartiallyFailed"
        assert "dump all was replaced before it was copied" in done["status"]["message"]
    else:
        assert done["status"]["phase"] == "Completed", done["status"]


async def test_a_policy_that_clones_a_claim_without_a_class_is_refused_by_field(
    world: World,
) -> None:
    await world.claim("data")
    await world.claim("backups")
    await world.policy(**spec_of("Clone"))
    ready = await world.ready()
    assert (ready["status"], ready["reason"]) == ("False", "ClaimNotCloned")
    assert "claim data has no StorageClass" in ready["message"]
    assert (await world.get(BACKUP_POLICY, "uploads"))["spec"]["rolling"]["copyMethod"] == "Clone"
