"""Uploads that may come late, with the real agent and restic on a real API server: they are tried
again while later runs go on, the newest goes first and stands for older ones, and OffsiteFresh says
what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.copy_methods import shift, temporary
from tests.support.repositories import NAME, PASSWORD
from tests.support.rolling_world import World
from tests.support.uploads import POLICY, Uploads, point
from tests.support.waiting import within

from backstay.domain import objects
from backstay.domain.objects import Obj, dig
from backstay.kube.resources import BACKUP, VOLUME_SNAPSHOT
from backstay.reconcile import keys

LATE = {"name": NAME, "required": False}
WRONG = "another"


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


async def until(
    uploads: Uploads, name: str, what: str, is_so: Callable[[Obj], object], *, node: bool = True
) -> Obj:
    """Work until a Backup is as it should be; return it."""
    world = uploads.world
    async with within(120, what):
        while not is_so(found := await world.get(BACKUP, name)):
            await world.step()
            await world.storage.step(world.namespace)
            if node:
                await world.node.run()
            world.add(keys.backup(world.namespace, name))
    return found


def tried(backup: Obj) -> bool:
    """Whether its upload failed and is to be tried again."""
    return bool(_upload(backup).get("retryAt"))


def _upload(backup: Obj) -> Obj:
    points = dig(backup, "status", "points", default=[])
    return next((p for p in points if p["store"] == "Repository"), {})


async def fresh(uploads: Uploads) -> tuple[str, str]:
    """Status and reason of the policy's condition OffsiteFresh."""
    await uploads.world.settle(keys.policy(uploads.world.namespace, POLICY))
    found = await uploads.world.condition("OffsiteFresh", POLICY)
    return found["status"], found["reason"]


async def test_an_upload_that_failed_is_tried_again_until_it_is_stored(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(repository=LATE)
    await uploads.repositories.secret(RESTIC_PASSWORD=WRONG)
    await uploads.ask()

    waits = await until(uploads, "run", "a try to fail", tried)

    assert waits["status"]["phase"] == "Uploading"
    assert waits["status"]["pools"] == []
    assert point(waits, "Snapshot")["result"] == "good"
    assert (point(waits)["result"], point(waits)["tries"]) == ("pending", 1)
    assert "try 1 failed" in waits["status"]["message"]
    assert "WrongPassword" in waits["status"]["message"]
    (uploads.data / "a").write_text("written after the snapshot")
    await uploads.repositories.secret(RESTIC_PASSWORD=PASSWORD)
    await shift(world, "retryAt")
    await world.settle()

    done = await world.get(BACKUP, "run")
    assert done["status"]["phase"] == "Completed", done["status"]
    assert (done["status"]["attempt"], point(done)["bytes"]) == (1, len("one"))
    assert len(await world.client.list(VOLUME_SNAPSHOT, world.namespace)) == 1
    assert await temporary(world) == []
    assert await fresh(uploads) == ("True", "InTime")


async def test_a_run_goes_on_beside_one_that_waits_for_its_upload_and_stands_for_it(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(repository=LATE)
    await uploads.repositories.secret(RESTIC_PASSWORD=WRONG)
    await uploads.ask("first")
    await until(uploads, "first", "a try to fail", tried)
    await uploads.repositories.secret(RESTIC_PASSWORD=PASSWORD)
    (uploads.data / "a").write_text("newer")

    await uploads.ask("second")
    second = await until(uploads, "second", "the second run to end", _is_over)
    await shift(world, "retryAt", "first")
    first = await until(uploads, "first", "the first run to end", _is_over)

    assert second["status"]["phase"] == "Completed", second["status"]
    assert first["status"]["phase"] == "PartiallyFailed"
    assert point(first, "Snapshot")["result"] == "good"
    assert "Backup second is newer and has its copy" in first["status"]["message"]
    (data,) = await uploads.snapshots()
    assert point(second)["stored"]["data"] == data["id"]


async def test_the_newest_of_two_that_wait_goes_first(uploads: Uploads, world: World) -> None:
    await uploads.begin(repository=LATE)
    await uploads.repositories.secret(RESTIC_PASSWORD=WRONG)
    for name in ("first", "second"):
        await uploads.ask(name)
        await until(uploads, name, "a try to fail", tried)
    await uploads.repositories.secret(RESTIC_PASSWORD=PASSWORD)

    await shift(world, "retryAt", "first")
    behind = await until(
        uploads, "first", "the first to wait", lambda b: "goes first" in str(_upload(b)), node=False
    )
    await shift(world, "retryAt", "second")
    second = await until(uploads, "second", "the second run to end", _is_over)

    assert point(behind)["result"] == "pending"
    assert second["status"]["phase"] == "Completed"
    first = await until(uploads, "first", "the first run to end", _is_over)
    assert "is newer and has its copy" in first["status"]["message"]


async def test_an_upload_that_is_too_late_fails_its_run_and_the_policy_reports_it(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(repository={**LATE, "lateAfter": "30m"})
    await uploads.repositories.secret(RESTIC_PASSWORD=WRONG)
    await uploads.ask()
    await until(uploads, "run", "a try to fail", tried)
    assert await fresh(uploads) == ("Unknown", "NoneYet")

    await shift(world, "startedAt")
    await shift(world, "retryAt")
    over = await until(uploads, "run", "the run to end", _is_over)

    assert over["status"]["phase"] == "PartiallyFailed"
    assert over["status"]["attempt"] == 1
    assert "WrongPassword" in over["status"]["message"]
    assert await fresh(uploads) == ("False", "Late")
    condition = await world.condition("OffsiteFresh", POLICY)
    assert "data: it has none, and Backup run made none in time" in condition["message"]
    await world.settle(keys.leftovers())
    assert await temporary(world) == []


async def test_the_snapshot_of_a_waiting_upload_stays_whatever_retention_says(
    uploads: Uploads, world: World
) -> None:
    await uploads.begin(repository=LATE, retention={"last": 1, "adhocDays": 1})
    await uploads.repositories.secret(RESTIC_PASSWORD=WRONG)
    await uploads.ask()
    waits = await until(uploads, "run", "a try to fail", tried)

    await world.settle(keys.retention(world.namespace, POLICY))

    (snapshot,) = await world.client.list(VOLUME_SNAPSHOT, world.namespace)
    assert objects.name(snapshot) == point(waits, "Snapshot")["ref"]


async def test_a_repository_that_is_not_ready_is_waited_for_and_no_try_is_spent(
    uploads: Uploads,
) -> None:
    await uploads.begin(repository=LATE)
    await uploads.repositories.secret(RESTIC_PASSWORD=WRONG)
    await uploads.repositories.again()

    await uploads.ask()
    waits = await until(
        uploads, "run", "the upload to wait", lambda b: "is not Ready" in str(_upload(b))
    )
    assert (point(waits)["tries"], point(waits).get("requestedAt")) == (0, None)
    await uploads.repositories.secret(RESTIC_PASSWORD=PASSWORD)
    await uploads.repositories.again()

    done = await until(uploads, "run", "the run to end", _is_over)
    assert done["status"]["phase"] == "Completed"


def _is_over(backup: Obj) -> bool:
    return dig(backup, "status", "phase") in ("Completed", "PartiallyFailed", "Failed")
