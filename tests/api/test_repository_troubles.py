"""Uploads that wait, fail and are tried again: what the Backup says, and that what the other stores
have stays good; with the real agent and restic on a real API server.
"""

from __future__ import annotations

import json
import shutil

import pytest
from tests.support.copy_methods import shift, temporary
from tests.support.killing import Killed, killing
from tests.support.node import NodeClient
from tests.support.repositories import NAME, PASSWORD
from tests.support.rolling_world import World
from tests.support.uploads import POLICY, Uploads, point, uploads_of
from tests.support.waiting import within

from backstay.domain.objects import Obj, dig
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP, VOLUME_SNAPSHOT
from backstay.reconcile import keys


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


def upload(backup: Obj) -> Obj:
    """The point of a Backup in the repository; {} if it is not begun."""
    points = dig(backup, "status", "points", default=[])
    return next((p for p in points if p["store"] == "Repository"), {})


async def until_begun(uploads: Uploads, name: str) -> None:
    """Work until the upload of a run is begun."""
    async with within(120, "the upload to be begun"):
        while not upload(await uploads.world.get(BACKUP, name)):
            await uploads.world.step()
            await uploads.world.storage.step(uploads.world.namespace)


async def until_waiting(uploads: Uploads) -> Obj:
    """Work until a run has asked for its upload and waits for something; return the Backup."""
    async with within(120, "the upload to wait"):
        while True:
            await uploads.world.step()
            await uploads.world.storage.step(uploads.world.namespace)
            found = upload(await uploads.world.get(BACKUP, "run"))
            if found.get("message") and found.get("requestedAt"):
                return await uploads.world.get(BACKUP, "run")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["Snapshot", "Direct"])
async def test_an_operator_that_is_killed_before_any_write_leaves_one_point_and_no_claim(
    uploads: Uploads, world: World, credentials: Login, method: str
) -> None:
    snapshot: dict[str, str] | None = {} if method == "Snapshot" else None
    await uploads.begin(repository={"name": NAME, "copyMethod": method}, snapshot=snapshot)
    kills = 0
    while True:
        name = f"killed-{kills}"
        await uploads.ask(name)
        # What comes before is like that of any other store.
        await until_begun(uploads, name)
        async with NodeClient(credentials, SystemClock(), fence=killing(kills)) as mortal:
            mortal.logs = world.client.logs
            world.restart(client=mortal)
            world.add(keys.backup(world.namespace, name))
            try:
                await world.settle()
                killed = False
            except Killed:
                killed = True
        world.restart()
        await world.settle(keys.backup(world.namespace, name), keys.leftovers())

        done = await world.get(BACKUP, name)
        assert done["status"]["phase"] == "Completed", (kills, done["status"])
        assert len(await uploads.snapshots("backstay-point")) == kills + 1
        assert len(await uploads.snapshots()) == kills + 1
        assert await temporary(world) == []
        assert world.storage.too_early == []
        if not killed:
            break
        kills += 1
    # When it is asked for, its claim and Job and their deletion, and the status between them.
    assert kills > (6 if method == "Snapshot" else 4)


async def test_what_the_agent_refuses_is_said_with_its_reason_and_the_snapshot_stays_good(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin()
    await uploads.repositories.secret(RESTIC_PASSWORD="another")  # noqa: S106

    done = await uploads.run()

    assert done["status"]["phase"] == "PartiallyFailed"
    assert point(done, "Snapshot")["result"] == "good"
    message = point(done)["message"]
    assert message.startswith("WrongPassword: ")
    assert message.endswith(f"BackupRepository {NAME}: the Secret is restic")
    assert f"upload data: {message}" in done["status"]["message"]
    assert await temporary(world) == []


async def test_a_repository_that_is_gone_is_never_made_again_by_an_upload(
    uploads: Uploads,
) -> None:
    await uploads.begin()
    shutil.rmtree(uploads.repositories.folder)
    uploads.repositories.folder.mkdir()

    done = await uploads.run()

    assert done["status"]["phase"] == "PartiallyFailed"
    assert point(done)["message"].startswith("Vanished: ")
    assert list(uploads.repositories.folder.iterdir()) == []


async def test_another_repository_in_its_place_gets_nothing(uploads: Uploads) -> None:
    await uploads.begin()
    shutil.rmtree(uploads.repositories.folder)
    await uploads.init()

    done = await uploads.run()

    assert done["status"]["phase"] == "PartiallyFailed"
    assert point(done)["message"].startswith("Replaced: ")
    assert await uploads.snapshots() == []


async def test_a_retry_uploads_the_same_snapshot_and_makes_one_point(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(retries=1)
    await uploads.repositories.secret(RESTIC_PASSWORD="another")  # noqa: S106
    await uploads.ask()
    async with within(120, "the first attempt to fail"):
        while dig(await world.get(BACKUP, "run"), "status", "retryAt") is None:
            await world.step()
            await world.storage.step(world.namespace)
            await world.node.run()
    await uploads.repositories.secret(RESTIC_PASSWORD=PASSWORD)
    (uploads.data / "a").write_text("written after the snapshot")

    await shift(world, "retryAt")
    await world.settle(keys.ADMISSION)

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Completed", done["status"]
    assert (point(done)["attempt"], point(done, "Snapshot")["attempt"]) == (2, 1)
    assert point(done)["bytes"] == len("one")
    assert len(await world.client.list(VOLUME_SNAPSHOT, world.namespace)) == 1
    assert len(await uploads.snapshots("backstay-point")) == 1


async def test_a_repository_that_was_never_ready_is_waited_for_and_fails_its_points_alone(
    uploads: Uploads, world: World
) -> None:
    await world.storage.classes()
    data = await world.storage.claim(world.namespace, "data")
    (data / "a").write_text("one")
    await uploads.repositories.in_a_claim(initialise="Never")
    await uploads.policy()
    ready = await world.ready(POLICY)
    assert (ready["status"], ready["reason"]) == ("False", "RepositoryNotReady")
    assert f"spec.repository.name: BackupRepository {NAME} is not Ready" in ready["message"]

    await uploads.ask()
    waiting = await until_waiting(uploads)
    assert waiting["status"]["phase"] == "Copying"
    assert point(waiting, "Snapshot")["result"] == "good"
    assert "is not Ready" in point(waiting)["message"]
    await shift(world, "requestedAt")
    await world.settle()

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "PartiallyFailed"
    assert point(done)["message"].startswith("RepositoryNotReady: ")
    assert point(done, "Snapshot")["result"] == "good"
    assert uploads_of(world) == []


async def test_a_repository_that_gets_ready_while_it_is_waited_for_gets_the_point(
    uploads: Uploads, world: World
) -> None:
    await world.storage.classes()
    data = await world.storage.claim(world.namespace, "data")
    (data / "a").write_text("one")
    await uploads.policy()
    ready = await world.ready(POLICY)
    assert (ready["status"], ready["reason"]) == ("False", "RepositoryNotFound")
    await uploads.ask()
    waiting = await until_waiting(uploads)
    assert f"there is no BackupRepository {NAME}" in point(waiting)["message"]

    await uploads.repository()
    await world.settle(keys.policy(world.namespace, POLICY), keys.backup(world.namespace, "run"))

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Completed", done["status"]
    assert point(done)["stored"]["id"] == (await uploads.repositories.get())["status"]["id"]
    assert (await world.ready(POLICY))["status"] == "True"


async def test_a_repository_that_may_only_be_read_is_refused_at_once(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin()
    await uploads.repositories.change(access="ReadOnly", initialise="Never")
    await world.settle(keys.policy(world.namespace, POLICY))

    done = await uploads.run()

    assert done["status"]["phase"] == "PartiallyFailed"
    assert point(done)["message"].startswith("RepositoryReadOnly: ")
    assert uploads_of(world) == []


async def test_an_upload_under_way_says_how_far_it_is(uploads: Uploads, world: World) -> None:
    await uploads.begin()
    world.node.leaves = "-upload-"
    await uploads.ask()
    pod = await uploads.running(await uploads.until_job())
    moved = {"bytes": 512 << 20, "of": 2048 << 20, "seconds": 64}
    world.client.logs[world.namespace, pod] = json.dumps({"progress": moved})
    await shift(world, "requestedAt")  # it is looked at after 15 s

    await world.look(keys.backup(world.namespace, "run"))

    working = await world.get(BACKUP, "run")
    progress = point(working)["progress"]
    assert (progress["bytes"], progress["of"]) == (512 << 20, 2048 << 20)
    assert progress["rate"] == 8 << 20
    said = "upload data: 512Mi of 2.0Gi stored (25 %), 8.0Mi a second"
    assert working["status"]["message"] == said

    # Not more often than that.
    more = {"bytes": 1024 << 20, "of": 2048 << 20, "seconds": 80}
    world.client.logs[world.namespace, pod] = json.dumps({"progress": more})
    await world.look(keys.backup(world.namespace, "run"))
    assert point(await world.get(BACKUP, "run"))["progress"] == progress
