"""Restores from a repository whose operator, Jobs or repository fail on the way."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from tests.support.killing import Killed, killing
from tests.support.node import NodeClient
from tests.support.repositories import NAME, PASSWORD, Repositories
from tests.support.restores import Restores, into, over, reason
from tests.support.rolling_world import WITHIN, World
from tests.support.uploads import Uploads

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.domain.stores.repository.use import has_ended
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import JOB, RESTORE_REQUEST
from backstay.reconcile import keys

MARKER = ".backstay-restoring"
LATER = {"notAfter": format_time(SystemClock().now() + timedelta(hours=1))}


@pytest.fixture
async def restores(world: World) -> Restores:
    made = Restores(Repositories(world))
    await made.begin()
    await made.attach()
    return made


async def jobs(restores: Restores, what: str) -> list[Obj]:
    """The Jobs of a kind, in the order of their tries."""
    found = await restores.world.client.list(JOB, restores.namespace)
    mine = [job for job in found if f"-{what}-" in objects.name(job)]
    return sorted(mine, key=lambda job: int(objects.version(job)))


@pytest.mark.timeout(900)
async def test_an_operator_that_is_killed_before_any_write_restores_once_and_whole(
    restores: Restores, credentials: Login
) -> None:
    restores.point()
    world = restores.world
    kills = 0
    while True:
        name = f"back-{kills}"
        async with NodeClient(credentials, SystemClock(), fence=killing(kills)) as mortal:
            mortal.logs = world.client.logs
            world.restart(client=mortal)
            await restores.ask(into("data", name), name=name)
            try:
                await restores.settle(name)
                killed = False
            except Killed:
                killed = True
        world.restart()
        await restores.settle(name)

        status = await restores.status(name)
        assert status["phase"] == "Completed", (kills, status)
        assert restores.content(name) == {"a": "one", "sub/b": "two"}
        assert restores.ran("repository-restore") == kills + 1
        assert restores.ran("repository-find") == kills + 1
        if not killed:
            break
        kills += 1
    # The Job that finds, what was found, the claim, the Job that fills, its end, the hand-over.
    assert kills > 6


async def at_work(restores: Restores) -> Obj:
    """Let the operator work until there is a Job that fills; return it, which is not run yet."""
    restores.world.node.leaves = "-restore-"
    limit = time.monotonic() + WITHIN
    while time.monotonic() < limit:
        await restores.look()
        if found := [job for job in await jobs(restores, "restore") if not has_ended(job)]:
            return found[-1]
    raise AssertionError(await restores.status())


async def test_what_a_killed_mover_has_left_is_gone_on_with(restores: Restores) -> None:
    restores.point()
    await restores.ask()
    await at_work(restores)
    uid = objects.uid(await restores.world.get(RESTORE_REQUEST, "back"))
    top = restores.volume()
    top.mkdir(exist_ok=True)
    (top / MARKER).write_text(uid + "\n")
    (top / "a").write_text("o")
    restores.world.node.leaves = "\n"

    await restores.settle("back")

    status = await restores.status()
    assert status["phase"] == "Completed", status
    assert restores.content() == {"a": "one", "sub/b": "two"}


async def test_a_mover_that_is_killed_time_and_again_fails_the_request(restores: Restores) -> None:
    restores.point()
    await restores.world.claim("data")
    (restores.volume("data") / "mine").write_text("kept")
    await restores.ask(over("data", "data"), more=LATER)
    await restores.world.node.kill(await at_work(restores))
    restores.world.node.leaves = "\n"

    await restores.settle("back")

    status = await restores.status()
    assert status["phase"] == "Failed", status
    assert "verified" not in status["items"][0]
    assert restores.content("data") == {"mine": "kept"}
    assert restores.ran("repository-restore") == 0


async def test_a_search_that_is_killed_is_made_again(restores: Restores) -> None:
    restores.point()
    restores.world.node.leaves = "-find-"
    await restores.ask()
    await restores.look()
    (job,) = await jobs(restores, "find")
    await restores.world.node.kill(job)
    restores.world.client.late = timedelta(minutes=1)
    restores.world.node.leaves = "\n"

    await restores.settle("back")

    status = await restores.status()
    assert status["phase"] == "Completed", status


async def test_what_was_found_is_restored_also_when_there_is_a_newer_one_by_then(
    restores: Restores,
) -> None:
    found = restores.point("r1")
    await restores.ask()
    while not (await restores.status_or_none() or {}).get("items"):
        await restores.look()
    (job,) = await jobs(restores, "find")
    await restores.world.client.delete(
        JOB, objects.name(job), restores.namespace, uid=objects.uid(job), propagation="Background"
    )
    (restores.source / "a").write_text("newer")
    restores.point("r2")

    await restores.settle("back")

    status = await restores.status()
    assert status["phase"] == "Completed", status
    assert status["items"][0]["ref"] == found
    assert restores.content()["a"] == "one"


async def test_a_truncated_pack_is_named_as_damage_and_nothing_is_handed_over(
    restores: Restores,
) -> None:
    (restores.source / "big").write_bytes(os.urandom(1_000_000))
    restores.point()
    packs = (restores.repositories.folder / "data").rglob("*")
    largest = max((p for p in packs if p.is_file()), key=lambda path: path.stat().st_size)
    largest.chmod(0o600)
    largest.write_bytes(largest.read_bytes()[:500_000])

    status = await restores.restore()

    assert status["phase"] == "Failed", status
    assert "were not restored as they were stored" in status["message"]
    assert "verified" not in status["items"][0]
    assert "data-back" not in await restores.claims()


async def test_a_request_waits_until_its_repository_can_be_used(world: World) -> None:
    restores = Restores(Repositories(world))
    await restores.begin()
    restores.point()
    await restores.repositories.secret(RESTIC_PASSWORD="another")  # noqa: S106 - of this test
    more = {"access": "ReadOnly", "initialise": "Never"}
    await restores.repositories.make(claim={"name": "disk"}, **more)
    await restores.ask()
    await restores.look()
    waiting = await restores.status()

    await restores.repositories.secret(RESTIC_PASSWORD=PASSWORD)
    await restores.repositories.again()
    await restores.settle("back")

    assert (waiting["phase"], reason(waiting)) == ("Pending", "Waiting"), waiting
    assert f"BackupRepository {NAME} is not Ready: WrongPassword" in waiting["message"]
    status = await restores.status()
    assert status["phase"] == "Completed", status


async def test_a_request_that_is_deleted_on_its_way_leaves_no_claim(restores: Restores) -> None:
    restores.point()
    await restores.ask()
    await at_work(restores)
    assert "data-back" in await restores.claims()
    request = await restores.world.get(RESTORE_REQUEST, "back")
    uid = objects.uid(request)
    await restores.world.client.delete(RESTORE_REQUEST, "back", restores.namespace, uid=uid)

    await restores.world.settle(keys.restore(restores.namespace, "back"), keys.leftovers())

    assert "data-back" not in await restores.claims()


async def test_three_restores_go_before_a_backup_where_only_one_can_work(
    world: World,
) -> None:
    uploads = Uploads(world)
    await uploads.begin()
    done = await uploads.run("first")
    restores = Restores(uploads.repositories)
    names = ["one", "two", "three"]
    for name in names:
        claim = into("data", f"{name}-back")
        await restores.ask_of(objects.name(done), "Repository", claim, name=name)
        world.add(keys.restore(world.namespace, name))
    world.node.leaves = "-restore-"
    while len([n for n in names if ((await restores.status_or_none(n)) or {}).get("items")]) < 3:
        await world.step()
        await world.node.run()
    await uploads.ask("second")
    most = 0
    # All but the Job that fills, which ends last: the backup has time to take its place.
    for _ in range(30):
        await world.step()
        await world.storage.step(world.namespace)
        await world.node.run()
        most = max(most, len([j for j in await jobs(restores, "restore") if not has_ended(j)]))
    world.node.leaves = "\n"
    await world.settle()

    fills = [
        n for n in uploads.repositories.ran if n in ("repository-restore", "repository-backup")
    ]
    assert fills == ["repository-backup", *["repository-restore"] * 3, "repository-backup"]
    assert most == 1
    phases = [(await restores.status(name))["phase"] for name in names]
    assert phases == ["Completed"] * 3
