"""Copies that are made of a temporary claim, with the real agent and a real API server; the driver
and the node are the test's own.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from tests.support.copy_methods import (
    METHODS,
    ask,
    begin,
    copies,
    fail_once,
    is_copy,
    point,
    shift,
    spec_of,
    temporary,
)
from tests.support.dumping_cluster import Containers, add_databases
from tests.support.killing import Killed, killing
from tests.support.node import NodeClient
from tests.support.rolling_world import WORKER, World

from backstay.api.store import ROLLING
from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.domain.stores.temporary import job_name
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import (
    BACKUP,
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_SNAPSHOT,
)
from backstay.reconcile import keys


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
    assert [j for j in await world.jobs(world.namespace) if is_copy(j)] == []
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
    assert [objects.name(c) for c in world.storage.made] == [job_name(done, 2, "data", ROLLING)]


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
    (job,) = [j for j in world.node.ran if is_copy(j)]
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
