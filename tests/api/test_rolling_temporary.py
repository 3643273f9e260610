"""The temporary claims that copies are made of: made, bound or not, and removed; the driver and the
node are the test's own.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.copy_methods import (
    METHODS,
    ask,
    begin,
    is_copy,
    point,
    shift,
    spec_of,
    temporary,
    until_job,
)
from tests.support.rolling_world import WORKER, World

from backstay.api.store import ROLLING
from backstay.domain import labels, objects
from backstay.domain.objects import dig
from backstay.domain.stores.temporary import job_name
from backstay.domain.times import parse_time
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


@pytest.mark.parametrize("method", METHODS)
async def test_the_job_reads_a_temporary_claim_that_goes_when_it_is_done(
    world: World, method: str
) -> None:
    await begin(world, method)
    await world.pod("uses-data", "data", "worker-elsewhere")
    backup = await ask(world)

    job = await until_job(world)

    (claim,) = await temporary(world)
    assert objects.name(claim) == objects.name(job) == job_name(backup, 1, "data", ROLLING)
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


async def test_a_claim_of_that_name_that_somebody_else_made_is_neither_read_nor_deleted(
    world: World,
) -> None:
    await begin(world, "Snapshot", retries=0)
    backup = await ask(world)
    name = job_name(backup, 1, "data", ROLLING)
    await world.storage.claim(world.namespace, name)

    await world.settle()

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "PartiallyFailed"
    assert f"claim {world.namespace}/{name} was made by somebody else" in done["status"]["message"]
    assert point(done, "Snapshot")["result"] == "good"
    assert not dig(await world.get(PERSISTENT_VOLUME_CLAIM, name), "metadata", "deletionTimestamp")
    assert [j for j in await world.jobs(world.namespace) if is_copy(j)] == []


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


async def test_a_claim_that_was_deleted_since_the_run_was_planned_is_not_cloned(
    world: World,
) -> None:
    await begin(world, "Clone", retries=0)
    await ask(world)
    await world.step()
    assert (await world.get(BACKUP, "run"))["status"]["phase"] == "Queued"
    claim = await world.get(PERSISTENT_VOLUME_CLAIM, "data")
    uid = objects.uid(claim)
    await world.client.delete(PERSISTENT_VOLUME_CLAIM, "data", world.namespace, uid=uid)
    await world.storage.step(world.namespace)

    await world.settle()

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Failed"
    assert done["status"]["message"] == "copy data: claim data was deleted or recreated"
    assert await temporary(world) == []
